"""What layers keep of the tokens before: pages that grow with a sequence, or one state each."""

from dataclasses import dataclass

import torch

from localfp4_kernels.attention.paged_view import CacheScale


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The key and value pages of one layer.

    Attributes:
        k: ``[P, Hkv, S, D]``; uint8 holds the bits of E4M3.
        v: As ``k``; ``None`` where values are a part of the keys.
        k_scale: Of an 8-bit cache, what keys are multiplied by: float32 ``[P, Hkv, S]``, or one
            number for all.
        v_scale: As ``k_scale``.
        group: Index of the KV group, which says which of a step's tables lead here.
    """

    k: torch.Tensor
    v: torch.Tensor | None
    k_scale: CacheScale = None
    v_scale: CacheScale = None
    group: int = 0

    @property
    def key_scales(self) -> torch.Tensor | None:
        """The scales of single keys.

        Raises:
            ValueError: All keys have the same.
        """
        if isinstance(self.k_scale, float):
            raise ValueError("this layer's keys share a scale")
        return self.k_scale

    @property
    def values(self) -> torch.Tensor:
        """The value pages.

        Raises:
            ValueError: There are none.
        """
        if self.v is None:
            raise ValueError("this layer's values are a part of its keys")
        return self.v


@dataclass(frozen=True, slots=True)
class StateCache:
    """The states of one recurrent layer, one slot a sequence.

    Attributes:
        conv: ``[slots, C, K - 1]``, the past inputs of the convolution, oldest first.
        recurrent: float32 ``[slots, ...]``; ``None`` where the convolution is all.
    """

    conv: torch.Tensor
    recurrent: torch.Tensor | None = None

    @property
    def matrix(self) -> torch.Tensor:
        """The recurrent state.

        Raises:
            ValueError: There is none.
        """
        if self.recurrent is None:
            raise ValueError("this layer has no recurrent state")
        return self.recurrent

    def copy(self, source: int, destination: int) -> None:
        """Copy what one slot holds into another."""
        self.conv[destination].copy_(self.conv[source])
        if self.recurrent is not None:
            self.recurrent[destination].copy_(self.recurrent[source])


Cache = LayerCache | StateCache | None
"""``None`` for a block without a mixer."""
