"""What of a model channel scales cannot reach, in a sentence; torch-free."""

from collections.abc import Iterator

from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MoeSpec, ParallelSpec


def left_out(spec: DecoderSpec) -> str | None:
    """Say which parts of a model keep their channels as they are; ``None`` where none do."""
    parts = sorted({part for layer in spec.layers for part in _parts(layer)})
    if not parts:
        return None
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return (
        f"Channel scales cannot be folded into what comes before {listed}, which are rounded "
        "without them."
    )


def _parts(layer: LayerSpec) -> Iterator[str]:
    if layer.norms == "post":
        yield "layers that begin without a norm"
    if isinstance(layer.feed_forward, MoeSpec | ParallelSpec):
        yield "mixtures of experts"
    if isinstance(layer.mixer, AttentionSpec):
        if layer.mixer.gate in ("head", "element"):
            yield "attention with gates of its own"
    elif layer.mixer is not None:
        yield "mixers other than plain attention"
