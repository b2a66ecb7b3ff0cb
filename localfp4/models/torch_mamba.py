"""Mamba-2 in plain torch."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import SequenceStates
from localfp4.models.cache import StateCache
from localfp4.models.mamba import StateSpace
from localfp4_kernels.gated_delta.packing import PackedSequences
from localfp4_kernels.gated_delta.torch_conv import (
    causal_conv_prefill_torch,
    causal_conv_update_torch,
)
from localfp4_kernels.mamba2.torch_chunked import mamba2_chunked_torch
from localfp4_kernels.mamba2.torch_gated_norm import gated_group_norm_torch
from localfp4_kernels.mamba2.torch_update import mamba2_update_torch


@dataclass(frozen=True, slots=True)
class TorchRecurrence:
    """Runs on any device."""

    def decode(
        self,
        space: StateSpace,
        xbc: torch.Tensor,
        dt: torch.Tensor,
        cache: StateCache,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``[B, I]`` for one token of each sequence, ``xbc [B, C]`` and ``dt [B, heads]``."""
        xbc = causal_conv_update_torch(xbc, space.conv, cache.conv, slots, bias=space.conv_bias)
        return mamba2_update_torch(
            xbc, space.steps(dt), space.skip, cache.matrix, slots, space.heads
        )

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
        where = (states.prompt_slots, states.continues, packed)
        xbc = causal_conv_prefill_torch(xbc, space.conv, cache.conv, *where, bias=space.conv_bias)
        return mamba2_chunked_torch(
            xbc, space.steps(dt), space.skip, cache.matrix, *where, space.heads
        )

    def norm(
        self, space: StateSpace, y: torch.Tensor, z: torch.Tensor, decodes: int
    ) -> torch.Tensor:
        """Return ``y`` gated by ``z``, then normalised, all ``[T, I]``."""
        return gated_group_norm_torch(y, z, space.norm, space.heads.groups, space.norm_eps)
