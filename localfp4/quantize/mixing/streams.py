"""The original's activations and those of every model that differs in one unit, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from localfp4.quantize.mixing.units import Unit
from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.hidden import room_for
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4.quantize.streaming.run_layer import Activations, advance


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What passes the layers of a model that differs from the original in one unit.

    Attributes:
        unit: Which.
        format: What it was rounded to.
        activations: Where the model is.
    """

    unit: Unit
    format: WeightFormat
    activations: Activations


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, the same of every model.

    Attributes:
        rows: Which, all windows one after the other.
        device: Where they are needed.
    """

    rows: slice
    device: torch.device

    def of(self, activations: Activations) -> torch.Tensor:
        """Return the rows of a model, ``[T, H]``."""
        return activations.hidden.flatten(0, 1)[self.rows].to(self.device)


class Streams:
    """All models, whose layers are loaded once.

    Attributes:
        original: Where the original is.
        changed: Where the others are.
    """

    def __init__(self, original: Activations, batches: Batches, folder: Path) -> None:
        """Begin with the original alone; what memory has no room for goes to ``folder``."""
        self.original = original
        self.changed: list[Stream] = []
        self._batches = batches
        self._folder = folder

    def branch(self, layer: ObservedLayer, unit: Unit, format: WeightFormat) -> None:
        """Let a model leave the original in a layer one unit of which is rounded now."""
        folder = self._folder / str(len(self.changed))
        folder.mkdir()
        start = self.original
        hidden = room_for(start.hidden.shape, start.hidden.dtype, folder / "hidden.bin")
        hidden.copy_(start.hidden)
        # Keys and values that layers share are only read once they are there.
        own = Activations(hidden, start.parts, folder, dict(start.shared))
        self._advance(layer, own)
        self.changed.append(Stream(unit, format, own))

    def pass_by(self, layer: ObservedLayer, streams: int) -> None:
        """Take the original, and the first of the others, through a layer that is as it was."""
        for stream in self.changed[:streams]:
            self._advance(layer, stream.activations)
        self._advance(layer, self.original)

    def pieces(self, rows: int) -> Iterator["Piece"]:
        """Yield pieces of at most so many rows, which together are all."""
        total = self.original.hidden[..., 0].numel()
        for start in range(0, total, rows):
            yield Piece(slice(start, start + rows), self._batches.device)

    def _advance(self, layer: ObservedLayer, activations: Activations) -> None:
        for _ in advance(layer, self._batches, activations):
            pass
