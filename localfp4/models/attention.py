"""Grouped-query attention over the paged cache."""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.linear import Linear
from localfp4.models.spec import AttentionSpec


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The key and value pages of one layer.

    Attributes:
        k: ``[P, Hkv, S, D]``; uint8 holds the bits of E4M3.
        v: As ``k``.
        k_scale: float32 ``[P, Hkv, S]`` of an 8-bit cache: what each key is multiplied by.
        v_scale: As ``k_scale``.
    """

    k: torch.Tensor
    v: torch.Tensor
    k_scale: torch.Tensor | None = None
    v_scale: torch.Tensor | None = None


class Attend(Protocol):
    """From projected rows to attention's result, the new keys and values cached on the way."""

    def forward(
        self,
        attention: "Attention",
        qkv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return ``[T, Hq D]`` for the merged projection ``[T, (Hq + 2 Hkv) D]``."""


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of one layer.

    Attributes:
        spec: Heads, widths, window.
        qkv: Merged projection ``[H] -> [(Hq + 2 Hkv) D]``.
        out: Output projection.
        qk_norm: ``[Hq + Hkv, D]``, the norm weights of every query and key head, or ``None``.
        norm_eps: Of that norm.
        attend: What computes it.
    """

    spec: AttentionSpec
    qkv: Linear
    out: Linear
    qk_norm: torch.Tensor | None
    norm_eps: float
    attend: Attend

    def forward(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return the attention's output ``[T, H]`` for the normalised input ``x`` ``[T, H]``."""
        qkv = self.qkv.forward(x, batch.decodes)
        return self.out.forward(self.attend.forward(self, qkv, angles, cache, batch), batch.decodes)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        norm = 0 if self.qk_norm is None else self.qk_norm.nbytes
        return self.qkv.nbytes + self.out.nbytes + norm
