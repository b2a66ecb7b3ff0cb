"""Experts of a mixture in plain torch, each of which can be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from localfp4.models.spec import Activation
from localfp4.models.tokens import Input
from localfp4.quantize.streaming.gathering import Gathering
from localfp4.quantize.streaming.inputs import Watch
from localfp4_kernels.pointwise.activations import ACTIVATION_FUNCTIONS


@dataclass(slots=True, eq=False)
class WatchedExperts:
    """Experts that run one after the other.

    Attributes:
        up_watches: What stands before the first product of each expert.
        down_watches: What stands before the second.
        up: ``[E, 2 I, H]``, gate rows first; ``[E, I, H]`` without gate.
        down: ``[E, H, I]``.
        activation: What follows the first product.
        up_bias: ``[E, 2 I]`` or ``[E, I]``.
        down_bias: ``[E, H]``.
        pools: What is learned of all experts' inputs together, before the first product and before
            the second; ``None`` while nobody looks.
    """

    up_watches: Sequence[Watch]
    down_watches: Sequence[Watch]
    up: torch.Tensor
    down: torch.Tensor
    activation: Activation
    up_bias: torch.Tensor | None
    down_bias: torch.Tensor | None
    pools: tuple[Gathering, Gathering] | None = None

    def forward(
        self,
        x: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        decodes: int,
        added: torch.Tensor | None = None,
        form: Any = None,
    ) -> torch.Tensor:
        """Return the weighted sum of the chosen experts' outputs, ``[T, H]``.

        Args:
            x: ``[T, H]``.
            weights: float32 ``[T, k]``.
            experts: int32 ``[T, k]``.
            decodes: Rows that decode; there are none.
            added: ``[T, H]``, added to the sum.
            form: Nothing.
        """
        if self.pools is not None:
            # A row counts as each of its experts counts it, on average, as it does before the
            # second product.
            self.pools[0].add(x, weights.square().mean(1).sqrt())
        out = torch.zeros_like(x)
        # One sort tells every expert its rows; looking for each among all waits for the device.
        order = experts.flatten().argsort(stable=True)
        counts = torch.bincount(experts.flatten(), minlength=len(self.up_watches)).tolist()
        routing = weights.flatten()[order]
        start = 0
        for expert, count in enumerate(counts):
            if not count:
                continue
            chosen = slice(start, start + count)
            start += count
            token = order[chosen] // experts.shape[1]
            y = self._run(expert, x[token], routing[chosen])
            out.index_add_(0, token, (y * routing[chosen].unsqueeze(1)).to(out.dtype))
        return out if added is None else out + added

    def prepare(self, x: Input, decodes: int) -> None:
        """Do nothing: plain rows are what is read here."""

    def _run(self, expert: int, x: torch.Tensor, routing: torch.Tensor) -> torch.Tensor:
        """Return what an expert makes of its rows ``[T, H]``."""
        up_bias = None if self.up_bias is None else self.up_bias[expert]
        down_bias = None if self.down_bias is None else self.down_bias[expert]
        x = self.up_watches[expert].take(x, routing)
        hidden = functional.linear(x, self.up[expert], up_bias)
        hidden = ACTIVATION_FUNCTIONS[self.activation](hidden)
        if self.pools is not None:
            self.pools[1].add(hidden, routing)
        hidden = self.down_watches[expert].take(hidden, routing)
        return functional.linear(hidden, self.down[expert], down_bias)
