"""Gated DeltaNet: a linear attention whose state forgets and corrects itself (arXiv:2412.06464)."""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.attention import Angles
from localfp4.models.batch import ForwardBatch, SequenceStates, in_rounds
from localfp4.models.cache import Cache, StateCache
from localfp4.models.linear import Linear
from localfp4.models.tokens import Input
from localfp4_kernels.gated_delta.gates import DeltaGates
from localfp4_kernels.gated_delta.heads import DeltaHeads


@dataclass(frozen=True, slots=True)
class Projected:
    """What a layer computes from its input before tokens meet.

    Attributes:
        qkv: ``[T, C]``: queries, keys and values, which the convolution mixes.
        z: ``[T, Hv Dv]``, the gate of the output.
        b: ``[T, Hv]``: how much of a token is written.
        a: ``[T, Hv]``: how much of the state is kept.
    """

    qkv: torch.Tensor
    z: torch.Tensor
    b: torch.Tensor
    a: torch.Tensor


@dataclass(frozen=True, slots=True)
class DeltaProjections:
    """The input projections of a layer.

    Attributes:
        qkvz: Merged projection to queries, keys, values and the output's gate.
        ba: Merged projection to the two gates of the state.
        by_head: Whether rows are grouped by key head, ``[q | k | v | z]`` and ``[b | a]`` of one
            after those of another, as Qwen3-Next stores them.
    """

    qkvz: Linear
    ba: Linear
    by_head: bool

    def forward(self, x: Input, heads: DeltaHeads, decodes: int) -> Projected:
        """Return the projections of ``x`` ``[T, H]``, whose first ``decodes`` rows decode."""
        qkvz, ba = self.qkvz.forward(x, decodes), self.ba.forward(x, decodes)
        if not self.by_head:
            width = heads.v_heads * heads.v_dim
            qkv, z = qkvz.split((heads.channels, width), dim=1)
            b, a = ba.chunk(2, dim=1)
            return Projected(qkv, z, b, a)
        values = heads.repeats * heads.v_dim
        q, k, v, z = _parts(qkvz, heads, (heads.k_dim, heads.k_dim, values, values))
        b, a = _parts(ba, heads, (heads.repeats, heads.repeats))
        return Projected(torch.cat((q, k, v), dim=1), z, b, a)


def _parts(
    rows: torch.Tensor, heads: DeltaHeads, widths: tuple[int, ...]
) -> tuple[torch.Tensor, ...]:
    """Sort rows that are grouped by key head into whole parts."""
    grouped = rows.unflatten(1, (heads.k_heads, -1))
    return tuple(part.flatten(1) for part in grouped.split(widths, dim=2))


class DeltaOperators(Protocol):
    """What computes a layer's recurrence."""

    def decode(
        self, layer: "GatedDelta", inputs: Projected, cache: StateCache, slots: torch.Tensor
    ) -> torch.Tensor:
        """Return ``[B, Hv, Dv]`` for one token of each of B sequences; updates their slots."""

    def prefill(
        self, layer: "GatedDelta", inputs: Projected, cache: StateCache, states: SequenceStates
    ) -> torch.Tensor:
        """Return ``[T, Hv, Dv]`` for the chunks of prompts; updates their slots."""

    def gated_norm(
        self, layer: "GatedDelta", o: torch.Tensor, z: torch.Tensor, decodes: int
    ) -> Input:
        """Return ``[T, Hv Dv]``: each head of ``o`` normalised, times SiLU of the gate."""


@dataclass(frozen=True, slots=True)
class GatedDelta:
    """The mixer of one layer.

    Attributes:
        heads: Numbers and widths of heads.
        projections: From the residual stream.
        conv: ``[C, K]``; the last tap meets the current token.
        a_log: float32 ``[Hv]``, the logarithm of each head's decay.
        dt_bias: float32 ``[Hv]``.
        norm: float32 ``[Dv]``, the weight of the output's norm.
        norm_eps: Of that norm.
        out: Output projection.
        operators: What computes the recurrence.
    """

    heads: DeltaHeads
    projections: DeltaProjections
    conv: torch.Tensor
    a_log: torch.Tensor
    dt_bias: torch.Tensor
    norm: torch.Tensor
    norm_eps: float
    out: Linear
    operators: DeltaOperators

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return ``[T, H]`` for the normalised input ``x`` ``[T, H]``; knows no positions."""
        if not isinstance(cache, StateCache) or batch.states is None:
            raise TypeError("Gated DeltaNet needs slots for its states")
        inputs = self.projections.forward(x, self.heads, batch.decodes)
        parts = []
        if batch.decodes:
            parts.append(self._decode(inputs, batch.decodes, cache, batch.states))
        if batch.states.packed is not None:
            prompts = _rows(inputs, slice(batch.decodes, None))
            parts.append(self.operators.prefill(self, prompts, cache, batch.states))
        o = parts[0] if len(parts) == 1 else torch.cat(parts)
        normed = self.operators.gated_norm(self, o, inputs.z, batch.decodes)
        return self.out.forward(normed, batch.decodes)

    def _decode(
        self, inputs: Projected, decodes: int, cache: StateCache, states: SequenceStates
    ) -> torch.Tensor:
        def run(
            qkv: torch.Tensor,
            z: torch.Tensor,
            b: torch.Tensor,
            a: torch.Tensor,
            slots: torch.Tensor,
        ) -> torch.Tensor:
            return self.operators.decode(self, Projected(qkv, z, b, a), cache, slots)

        rows = _rows(inputs, slice(decodes))
        return in_rounds(states.rounds, (rows.qkv, rows.z, rows.b, rows.a), run)

    def gates(self, inputs: Projected) -> DeltaGates:
        """Return what decays and what is written, token by token."""
        return DeltaGates(inputs.a, inputs.b, self.a_log, self.dt_bias)


def _rows(inputs: Projected, rows: slice) -> Projected:
    return Projected(inputs.qkv[rows], inputs.z[rows], inputs.b[rows], inputs.a[rows])
