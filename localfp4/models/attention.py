"""Grouped-query attention over the paged cache."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache, LayerCache
from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.spec import AttentionSpec, DecoderSpec, RopeSpec, TemperatureSpec
from localfp4.models.tokens import Input
from localfp4_kernels.pointwise.rope import rope_angles_torch


@dataclass(frozen=True, slots=True)
class Angles:
    """What the layers of a step need to know of its positions, computed once.

    Attributes:
        rotations: Cosine and signed sine ``[T, 1, R]``, for each distinct rotary embedding.
        temperatures: float32 ``[T]``, what queries are multiplied by, where that depends on
            positions.
    """

    rotations: dict[RopeSpec, tuple[torch.Tensor, torch.Tensor]]
    temperatures: dict[TemperatureSpec, torch.Tensor] = field(default_factory=dict)


class Mixer(Protocol):
    """What exchanges information between tokens."""

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return ``[T, H]`` for the normalised input ``x`` ``[T, H]``; updates ``cache``."""


class Attend(Protocol):
    """From projected heads to attention's result, the new keys and values cached on the way."""

    def forward(
        self,
        attention: "Attention",
        projected: torch.Tensor,
        gate: torch.Tensor | None,
        angles: Angles,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Input:
        """Return what the output projection takes, ``[T, Hq D]``.

        Args:
            attention: The layer.
            projected: ``[T, (Hq + 2 Hkv) D]``, queries, keys and values. Where keys and values are
                an earlier layer's there are only queries, and no values where keys serve as such;
                under a query gate each head of queries is followed by its gate.
            gate: ``[T, Hq]`` or ``[T, Hq D]``, where the gate has a projection of its own.
            angles: Of the step's positions.
            cache: Of the layer, or of the one whose keys and values it shares.
            batch: The step.
        """


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of one layer.

    Attributes:
        spec: Heads, widths, window.
        qkv: Merged projection to queries, keys and values; to queries, with the gate's half after
            each head, where the spec says so, and without values where keys serve as such.
        out: Output projection.
        head_norm: Of every query and key head, weight ``[Hq + Hkv, D]``; of the query heads alone
            where keys are an earlier layer's.
        full_norms: Of the whole projections of queries, ``[Hq D]``, and of keys, ``[Hkv D]``.
        norm_eps: Of the norm of values, which has no weight.
        gate: Projection of the gate, where it has one of its own.
        sinks: float32 ``[Hq]``.
        attend: What computes it.
    """

    spec: AttentionSpec
    qkv: Linear
    out: Linear
    head_norm: Norm | None
    full_norms: tuple[Norm, Norm] | None
    norm_eps: float
    gate: Linear | None
    sinks: torch.Tensor | None
    attend: Attend

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return the attention's output ``[T, H]`` for the normalised input ``x`` ``[T, H]``."""
        if not isinstance(cache, LayerCache):
            raise TypeError("attention needs pages")
        projected = self.qkv.forward(x, batch.decodes)
        gate = None if self.gate is None else self.gate.forward(x, batch.decodes)
        out = self.attend.forward(self, projected, gate, angles, cache, batch)
        return self.out.forward(out, batch.decodes)


def angles_of(
    spec: DecoderSpec,
    frequencies: Mapping[RopeSpec, torch.Tensor],
    positions: torch.Tensor,
    dtype: torch.dtype,
) -> Angles:
    """Return what the layers of a model need to know of positions.

    Args:
        spec: The model.
        frequencies: float32 ``[D/2]`` for each distinct rotary embedding.
        positions: int64 ``[T]``.
        dtype: Of cosine and sine.
    """
    attentions = (one.mixer for one in spec.layers if isinstance(one.mixer, AttentionSpec))
    temperatures = {a.temperature for a in attentions if a.temperature is not None}
    return Angles(
        {
            rope: rope_angles_torch(positions, radians, rope.attention_factor, dtype)
            for rope, radians in frequencies.items()
        },
        {one: temperature_of(one, positions) for one in temperatures},
    )


def temperature_of(spec: TemperatureSpec, positions: torch.Tensor) -> torch.Tensor:
    """Return what queries at positions ``[T]`` are multiplied by, float32 ``[T]``."""
    periods = torch.floor(positions.float() / spec.original_context)
    return 1 + spec.beta * torch.log1p(periods)
