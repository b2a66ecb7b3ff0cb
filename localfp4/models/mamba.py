"""Mamba-2 over states in slots (Dao & Gu 2024, arXiv:2405.21060)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.attention import Angles
from localfp4.models.batch import ForwardBatch, SequenceStates, in_rounds
from localfp4.models.cache import Cache, StateCache
from localfp4.models.linear import Linear
from localfp4.models.spec import MambaSpec
from localfp4.models.tokens import Input
from localfp4_kernels.gated_delta.packing import PackedSequences
from localfp4_kernels.mamba2.heads import SsmHeads
from localfp4_kernels.mamba2.time_steps import TimeSteps


@dataclass(frozen=True, slots=True)
class StateSpace:
    """The weights of a layer between its projections.

    Attributes:
        heads: Numbers and widths of heads.
        conv: ``[C, K]``, the taps of each channel of ``[x | B | C]``.
        conv_bias: ``[C]``.
        dt_bias: float32 ``[heads]``, added to time steps before the softplus.
        a_log: float32 ``[heads]``, the logarithm of the rate of decay.
        skip: float32 ``[heads]``, how much of ``x`` goes past the state.
        smallest_step: Time steps are not below this after the softplus.
        largest_step: Nor above this.
        norm: ``[heads * head_dim]``, the weight of the output's norm.
        norm_eps: Of that norm.
    """

    heads: SsmHeads
    conv: torch.Tensor
    conv_bias: torch.Tensor | None
    dt_bias: torch.Tensor
    a_log: torch.Tensor
    skip: torch.Tensor
    smallest_step: float
    largest_step: float
    norm: torch.Tensor
    norm_eps: float

    def steps(self, dt: torch.Tensor) -> TimeSteps:
        """Return the time steps of projections ``[T, heads]``."""
        return TimeSteps(dt, self.dt_bias, self.a_log, self.smallest_step, self.largest_step)


class Recurrence(Protocol):
    """From projections to what the states say of them, the states moved on by the way."""

    def decode(
        self,
        space: StateSpace,
        xbc: torch.Tensor,
        dt: torch.Tensor,
        cache: StateCache,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``[B, I]`` for one token of each sequence, ``xbc [B, C]`` and ``dt [B, heads]``."""

    def prefill(
        self,
        space: StateSpace,
        xbc: torch.Tensor,
        dt: torch.Tensor,
        cache: StateCache,
        states: SequenceStates,
        packed: PackedSequences,
    ) -> torch.Tensor:
        """Return ``[T, I]`` for chunks of prompts, ``xbc [T, C]`` and ``dt [T, heads]``."""

    def norm(self, space: StateSpace, y: torch.Tensor, z: torch.Tensor, decodes: int) -> Input:
        """Return ``y`` gated by ``z``, then normalised, all ``[T, I]``."""


@dataclass(frozen=True, slots=True)
class Mamba:
    """The Mamba-2 of one layer.

    Attributes:
        spec: Heads, widths, limits.
        projection: To the gate ``z``, to ``[x | B | C]`` and to a time step per head.
        space: The weights between the projections.
        out: Output projection.
        recurrence: What computes it.
    """

    spec: MambaSpec
    projection: Linear
    space: StateSpace
    out: Linear
    recurrence: Recurrence

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return ``[T, H]`` for the normalised input ``x`` ``[T, H]``; positions do not matter."""
        if not isinstance(cache, StateCache) or batch.states is None:
            raise TypeError("Mamba-2 needs states")
        heads, states = self.space.heads, batch.states
        projected = self.projection.forward(x, batch.decodes)
        z, xbc, dt = projected.split((heads.inner, heads.channels, heads.heads), dim=1)
        first, parts = batch.decodes, []
        if first:
            parts.append(in_rounds(states.rounds, (xbc[:first], dt[:first]), self._decode(cache)))
        if states.packed is not None:
            rest = (xbc[first:], dt[first:], cache, states, states.packed)
            parts.append(self.recurrence.prefill(self.space, *rest))
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        return self.out.forward(
            self.recurrence.norm(self.space, y, z, batch.decodes), batch.decodes
        )

    def _decode(self, cache: StateCache) -> Callable[..., torch.Tensor]:
        """Return what moves states on by one token each."""

        def run(xbc: torch.Tensor, dt: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
            return self.recurrence.decode(self.space, xbc, dt, cache, slots)

        return run
