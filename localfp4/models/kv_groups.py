"""Which layers share a pool of KV pages: those that see as far back as each other; torch-free.

Layers with a sliding window need the pages of the window alone, so that each window has a pool of
its own, as vLLM's hybrid KV cache has it.
"""

from dataclasses import dataclass

from localfp4.models.spec import AttentionSpec, DecoderSpec, MlaSpec


@dataclass(frozen=True, slots=True)
class KvGroup:
    """Layers whose keys and values lie in pages of the same numbers.

    Attributes:
        window: Tokens they see, the query included; ``None`` is all.
        layers: Indices of those that have keys and values of their own.
    """

    window: int | None
    layers: tuple[int, ...]


def kv_groups(spec: DecoderSpec) -> tuple[KvGroup, ...]:
    """Return the groups of a model: first those that see everything, then by growing window.

    The first is there even without layers: what is known of a sequence's beginning hangs on its
    pages.
    """
    layers: dict[int | None, list[int]] = {None: []}
    for index, layer in enumerate(spec.layers):
        mixer = layer.mixer
        if isinstance(mixer, AttentionSpec) and mixer.shares_kv_of is None:
            layers.setdefault(mixer.window, []).append(index)
        elif isinstance(mixer, MlaSpec):
            layers[None].append(index)
    # A layer that reads another's pages needs them as far back as it looks itself.
    for layer in spec.layers:
        mixer = layer.mixer
        if isinstance(mixer, AttentionSpec) and mixer.shares_kv_of is not None:
            _widen(layers, mixer.shares_kv_of, mixer.window)
    windows = sorted(window for window in layers if window is not None and layers[window])
    return tuple(KvGroup(window, tuple(sorted(layers[window]))) for window in (None, *windows))


def _widen(layers: dict[int | None, list[int]], source: int, window: int | None) -> None:
    """Move a layer to the group of a wider window, if its reader needs that."""
    [own] = [window for window, members in layers.items() if source in members]
    if own is not None and (window is None or window > own):
        layers[own].remove(source)
        layers.setdefault(window, []).append(source)


def group_of_layer(groups: tuple[KvGroup, ...]) -> dict[int, int]:
    """Return the index of the group of every layer that is in one."""
    return {layer: index for index, group in enumerate(groups) for layer in group.layers}
