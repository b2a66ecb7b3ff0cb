"""Mamba-2 by kernels: a launch for the convolution, one for the states, one for the norm."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import SequenceStates
from localfp4.models.cache import StateCache
from localfp4.models.mamba import StateSpace
from localfp4.models.tokens import Tokens
from localfp4_kernels.gated_delta.conv import causal_conv_prefill, causal_conv_update
from localfp4_kernels.gated_delta.packing import PackedSequences
from localfp4_kernels.linear.group_norm import GroupNormed
from localfp4_kernels.linear.source import Rows, Source
from localfp4_kernels.mamba2.chunked import mamba2_chunked
from localfp4_kernels.mamba2.gated_norm import gated_group_norm
from localfp4_kernels.mamba2.update import mamba2_update
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelRecurrence:
    """Runs on a target."""

    target: Target

    def decode(
        self,
        space: StateSpace,
        xbc: torch.Tensor,
        dt: torch.Tensor,
        cache: StateCache,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``[B, I]`` for one token of each sequence, ``xbc [B, C]`` and ``dt [B, heads]``."""
        xbc = causal_conv_update(
            xbc, space.conv, cache.conv, slots, bias=space.conv_bias, target=self.target
        )
        return mamba2_update(
            xbc,
            space.steps(dt),
            space.skip,
            cache.matrix,
            slots,
            space.heads,
            target=self.target,
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
        xbc = causal_conv_prefill(
            xbc, space.conv, cache.conv, *where, bias=space.conv_bias, target=self.target
        )
        return mamba2_chunked(
            xbc,
            space.steps(dt),
            space.skip,
            cache.matrix,
            *where,
            space.heads,
            target=self.target,
        )

    def norm(self, space: StateSpace, y: torch.Tensor, z: torch.Tensor, decodes: int) -> Tokens:
        """Return ``y`` gated by ``z``, then normalised, all ``[T, I]``."""
        groups, eps = space.heads.groups, space.norm_eps
        source: Source = GroupNormed(y, z, space.norm, groups, eps, gate_first=True)
        if y.shape[1] // groups & (y.shape[1] // groups - 1):
            # Only groups of a power of two fit into a launch that also does what comes next.
            normed = gated_group_norm(y, z, space.norm, groups, eps, target=self.target)
            source = Rows(normed)
        return Tokens(source, decodes, self.target)
