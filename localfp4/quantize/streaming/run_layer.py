"""Running a layer on all calibration tokens, some windows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from localfp4.models.cache import Cache, LayerCache
from localfp4.models.spec import AttentionSpec, MlaSpec
from localfp4.models.stream import TorchStream
from localfp4.quantize.streaming.batches import Batches, Layout
from localfp4.quantize.streaming.hidden import room_for
from localfp4.quantize.streaming.observed import ObservedLayer


@dataclass(slots=True, eq=False)
class Activations:
    """What lies between two layers.

    Attributes:
        hidden: ``[samples, length, H]``, the residual stream before the next layer.
        parts: ``[L, samples, length, d]``, what each layer gets of a second embedding; ``None``
            where there is none.
        shared: Keys and values of all windows that later layers use, by the index of the layer
            that made them: ``[samples, pages, heads, page, dim]`` each.
        folder: Where files go for which memory is too small.
    """

    hidden: torch.Tensor
    parts: torch.Tensor | None
    folder: Path
    shared: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def run_through(layer: ObservedLayer, batches: Batches, activations: Activations) -> Iterator[int]:
    """Run a layer for what is gathered before its sites, yielding the tokens of each step."""
    runner = _Runner(layer, batches, activations)
    for windows in batches:
        runner.run(windows)
        yield runner.tokens(windows)


def advance(layer: ObservedLayer, batches: Batches, activations: Activations) -> Iterator[int]:
    """Put a layer's results in the place of its inputs, yielding the tokens of each step.

    Keys and values that later layers use are kept.
    """
    runner = _Runner(layer, batches, activations)
    for windows in batches:
        activations.hidden[windows].copy_(runner.run(windows))
        runner.keep_shared(windows)
        yield runner.tokens(windows)


def run_windows(
    layer: ObservedLayer,
    x: torch.Tensor,
    layout: Layout,
    cache: Cache,
    part: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a layer on some windows.

    Args:
        layer: What runs.
        x: ``[T, H]``, the rows of all windows.
        layout: Of the windows.
        cache: Of the layer, or of the one whose keys and values it uses.
        part: ``[T, d]``, the layer's own embedding of the tokens.

    Returns:
        ``[T, H]``.
    """
    stream = TorchStream(x)
    scale = layer.decoder.residual_scale
    layer.layer.forward(stream, layout.batch, cache, layout.angles, scale, part)
    return stream.read(None)


class _Runner:
    """A layer with its cache."""

    def __init__(self, layer: ObservedLayer, batches: Batches, activations: Activations) -> None:
        self._layer = layer
        self._batches = batches
        self._activations = activations
        self._cache = batches.cache(layer.index)
        mixer = layer.spec.mixer
        self._source = mixer.shares_kv_of if isinstance(mixer, AttentionSpec) else None
        self._is_shared = any(
            isinstance(later.mixer, AttentionSpec) and later.mixer.shares_kv_of == layer.index
            for later in layer.decoder.layers
        )

    def tokens(self, windows: slice) -> int:
        count: int = windows.stop - windows.start
        return count * self._batches.length

    def run(self, windows: slice) -> torch.Tensor:
        """Return a layer's results for some windows, ``[n, length, H]``."""
        batches, activations = self._batches, self._activations
        layout = batches.layout(windows)
        x = activations.hidden[windows].to(batches.device)
        part = None
        if activations.parts is not None:
            part = activations.parts[self._layer.index][windows].to(batches.device).flatten(0, 1)
        if self._source is not None:
            self._bring(self._source, windows)
        out = run_windows(self._layer, x.flatten(0, 1), layout, self._cache, part)
        self._show_latents(layout)
        return out.view(x.shape)

    def keep_shared(self, windows: slice) -> None:
        """Keep keys and values that later layers use."""
        if not self._is_shared:
            return
        index, shared = self._layer.index, self._activations.shared
        own = self._pages(windows.stop - windows.start)
        if index not in shared:
            shared[index] = self._room("keys", own[0]), self._room("values", own[1])
        for kept, one in zip(shared[index], own, strict=True):
            kept[windows].copy_(one)

    def _bring(self, source: int, windows: slice) -> None:
        """Put the keys and values of an earlier layer into the cache."""
        own = self._pages(windows.stop - windows.start)
        for kept, one in zip(self._activations.shared[source], own, strict=True):
            one.copy_(kept[windows])

    def _pages(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of some windows, ``[n, pages, heads, page, dim]`` each."""
        if not isinstance(self._cache, LayerCache):
            raise TypeError("only attention has keys and values")
        pages, cache = self._batches.window_pages, self._cache
        k, v = (one[: count * pages].unflatten(0, (count, -1)) for one in (cache.k, cache.values))
        return k, v

    def _room(self, name: str, pages: torch.Tensor) -> torch.Tensor:
        file = self._activations.folder / f"{name}-{self._layer.index}.bin"
        return room_for((self._batches.samples, *pages.shape[1:]), pages.dtype, file)

    def _show_latents(self, layout: Layout) -> None:
        """Let what latent attention cached be seen: it is the input of the maps from latents."""
        mixer, watch, cache = self._layer.spec.mixer, self._layer.latents, self._cache
        if watch is None or watch.gathering is None:
            return
        if not isinstance(mixer, MlaSpec) or not isinstance(cache, LayerCache):
            raise TypeError("only latent attention has latents")
        pages = cache.k[: layout.count * self._batches.window_pages, 0]
        rows = pages.reshape(layout.count, -1, pages.shape[-1])
        watch.gathering.add(rows[:, : layout.length, : mixer.kv_rank].flatten(0, 1))
