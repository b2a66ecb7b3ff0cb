"""Layers that must be recomputed together when gradients come back through them; torch-free.

Only the inputs of segments are kept of a forward pass, so that one segment's weights and
activations are in memory at a time (Chen et al., arXiv:1604.06174). A layer is a segment of its
own, unless it reads keys and values of an earlier one.
"""

from localfp4.errors import RequestError, UnsupportedModelError
from localfp4.models.spec import AttentionSpec, DecoderSpec, MlaSpec
from localfp4.quantize.recipe import Recipe


def segments_of(spec: DecoderSpec) -> tuple[range, ...]:
    """Return runs of layers, bottom to top, such that none reads what another run cached."""
    ends = list(range(1, len(spec.layers) + 1))
    for index, layer in enumerate(spec.layers):
        mixer = layer.mixer
        if isinstance(mixer, AttentionSpec) and mixer.shares_kv_of is not None:
            # No segment may end between the layer that caches and the one that reads.
            ends = [end for end in ends if not mixer.shares_kv_of < end <= index]
    starts = [0, *ends[:-1]]
    return tuple(range(start, end) for start, end in zip(starts, ends, strict=True))


def require_trainable(spec: DecoderSpec, recipe: Recipe, name: str) -> None:
    """Check that a model can be distilled as a recipe has it; one that is not distilled can be.

    Args:
        spec: The model.
        recipe: How it is quantised.
        name: What the user called it.

    Raises:
        RequestError: There is no window of text to learn from beside the one that is held out.
        UnsupportedModelError: There is latent attention, whose maps are absorbed into queries in
            place.
    """
    if recipe.distil is None:
        return
    if recipe.calibration.samples < 2:
        raise RequestError(
            "Distillation learns from some windows of text and is checked with others, so that one "
            "is too few; use --samples 128, or leave out --distil."
        )
    if any(isinstance(layer.mixer, MlaSpec) for layer in spec.layers):
        raise UnsupportedModelError(
            f"{name} has latent attention (MLA), through which localfp4 computes no gradients, so "
            "that it cannot be distilled; leave out --distil."
        )
