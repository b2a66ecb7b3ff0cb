"""The gated short convolution of LFM2 (arXiv:2511.23404, section 2)."""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.attention import Angles
from localfp4.models.batch import ForwardBatch, SequenceStates, in_rounds
from localfp4.models.cache import Cache, StateCache
from localfp4.models.linear import Linear
from localfp4.models.tokens import Input, Tokens
from localfp4_kernels.gated_delta.torch_conv import (
    causal_conv_prefill_torch,
    causal_conv_update_torch,
)
from localfp4_kernels.linear.head_gate import HeadGated


class Convolve(Protocol):
    """A depthwise causal convolution over the tokens of a step, past inputs kept in slots."""

    def forward(
        self, conv: "ShortConv", x: torch.Tensor, cache: StateCache, batch: ForwardBatch
    ) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``; updates ``cache``."""


@dataclass(frozen=True, slots=True)
class ShortConv:
    """The short convolution of one layer, gated before and after.

    Attributes:
        gates: Merged projection to the gate before, the gate after, and the input.
        weight: ``[H, K]``; the last tap meets the current token.
        bias: ``[H]``.
        out: Output projection.
        convolve: What computes it.
    """

    gates: Linear
    weight: torch.Tensor
    bias: torch.Tensor | None
    out: Linear
    convolve: Convolve

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return ``[T, H]`` for the normalised input ``x`` ``[T, H]``; knows no positions."""
        if not isinstance(cache, StateCache):
            raise TypeError("a convolution needs slots")
        before, after, inner = self.gates.forward(x, batch.decodes).chunk(3, dim=1)
        convolved = self.convolve.forward(self, before * inner, cache, batch)
        if isinstance(x, Tokens):
            gated = x.then(HeadGated(convolved, after.unsqueeze(1), "identity"))
            return self.out.forward(gated, batch.decodes)
        return self.out.forward(after * convolved, batch.decodes)


@dataclass(frozen=True, slots=True)
class TorchConvolve:
    """Runs on any device."""

    def forward(
        self, conv: ShortConv, x: torch.Tensor, cache: StateCache, batch: ForwardBatch
    ) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``; updates ``cache``."""
        states, parts = states_of(batch), []

        def update(x: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
            return causal_conv_update_torch(
                x, conv.weight, cache.conv, slots, bias=conv.bias, silu=False
            )

        if batch.decodes:
            parts.append(in_rounds(states.rounds, (x[: batch.decodes],), update))
        if states.packed is not None:
            parts.append(
                causal_conv_prefill_torch(
                    x[batch.decodes :],
                    conv.weight,
                    cache.conv,
                    states.prompt_slots,
                    states.continues,
                    states.packed,
                    bias=conv.bias,
                    silu=False,
                )
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def states_of(batch: ForwardBatch) -> SequenceStates:
    """Return where the step's sequences keep what they carry along.

    Raises:
        ValueError: The batch was made for a model that keeps nothing.
    """
    if batch.states is None:
        raise ValueError("the batch has no slots for recurrent layers")
    return batch.states
