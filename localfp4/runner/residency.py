"""Keeping the experts on the card that are asked for most; every copy happens beside the steps.

Kernels count on the device which experts they read. From time to time the counts are fetched, and
experts change places in two phases. First the map that kernels read loses those that leave, in the
order of the stream; the copies into their slots wait until the steps launched before have run; and
the map gains those that came only after that. So no step reads a slot that is being written, and
since all experts are in main memory as well, results do not depend on any of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from localfp4.models.decoder import Decoder
from localfp4.runner.expert_policy import HotExperts, SlotTable, Swap
from localfp4.runner.lanes import Lane, Pending, make_lane

if TYPE_CHECKING:
    from localfp4.models.residence import TieredExperts

INTERVAL = 16
"""Steps between two looks at the counts."""


class Residency:
    """The experts of a model that are on the card, and those that are on their way."""

    def __init__(
        self,
        layers: "Sequence[TieredExperts]",
        lane: Lane,
        interval: int = INTERVAL,
    ) -> None:
        """Begin as the model was loaded: with the first experts of each layer in its slots.

        Args:
            layers: The experts of the layers.
            lane: What copies.
            interval: Steps between two looks at the counts.
        """
        self._layers = layers
        self._lane = lane
        self._interval = interval
        self._tables = [SlotTable(len(layer.where), layer.slots) for layer in layers]
        self._hot = HotExperts(self._tables, [len(layer.where) for layer in layers])
        self._steps = 0
        self._counting: tuple[torch.Tensor, Pending] | None = None
        self._coming: tuple[list[Swap], Pending] | None = None

    @torch.inference_mode()
    def after_step(self) -> None:
        """Do what is due once a step has been launched; waits for nothing.

        Must be called with the device and the stream of the step as the current ones, and not
        while a CUDA graph is captured.
        """
        self._steps += 1
        if self._coming is not None and self._coming[1].is_done():
            self._let_in(self._coming[0])
            self._coming = None
        if self._counting is not None and self._counting[1].is_done():
            self._observe(self._counting[0])
            self._counting = None
            if self._coming is None and (swaps := self._hot.swaps()):
                self._coming = swaps, self._replace(swaps)
        if self._counting is None and self._steps % self._interval == 0:
            counts = torch.cat([layer.reads for layer in self._layers])
            self._counting = self._lane.fetch(counts)

    def _observe(self, counts: torch.Tensor) -> None:
        parts = counts.split([len(layer.where) for layer in self._layers])
        self._hot.observe([part.tolist() for part in parts])

    def _replace(self, swaps: Sequence[Swap]) -> Pending:
        """Empty slots and begin to copy other experts into them."""
        for swap in swaps:
            self._tables[swap.layer].release(swap.slot)
        self._write_maps(swaps)
        return self._lane.copy(
            [
                (far[swap.expert], near[swap.slot])
                for swap in swaps
                for far, near in self._layers[swap.layer].parts
            ]
        )

    def _let_in(self, swaps: Sequence[Swap]) -> None:
        """Let kernels read the slots whose experts have arrived."""
        for swap in swaps:
            self._tables[swap.layer].fill(swap.slot, swap.expert)
        self._write_maps(swaps)

    def _write_maps(self, swaps: Sequence[Swap]) -> None:
        for index in {swap.layer for swap in swaps}:
            self._lane.write(self._layers[index].where, self._tables[index].where())


def make_residency(decoder: Decoder, device: torch.device) -> Residency | None:
    """Return what keeps experts of a decoder on a device; ``None`` where nothing can change."""
    if decoder.execution.target is None:
        return None
    # Triton takes a while to import, and only kernels need it.
    from localfp4.models.residence import tiered_experts

    layers = tiered_experts(decoder)
    return Residency(layers, make_lane(device)) if layers else None
