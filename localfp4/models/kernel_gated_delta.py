"""The recurrence of Gated DeltaNet by kernels: two launches to decode, three for prompts."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import SequenceStates
from localfp4.models.cache import StateCache
from localfp4.models.gated_delta import GatedDelta, Projected
from localfp4.models.tokens import Tokens
from localfp4_kernels.gated_delta.chunked import gated_delta_chunked
from localfp4_kernels.gated_delta.conv import causal_conv_prefill, causal_conv_update
from localfp4_kernels.gated_delta.update import gated_delta_update
from localfp4_kernels.linear.group_norm import GroupNormed
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelGatedDelta:
    """Runs on the target."""

    target: Target

    def decode(
        self, layer: GatedDelta, inputs: Projected, cache: StateCache, slots: torch.Tensor
    ) -> torch.Tensor:
        """Return ``[B, Hv, Dv]`` for one token of each of B sequences; updates their slots."""
        qkv = causal_conv_update(inputs.qkv, layer.conv, cache.conv, slots, target=self.target)
        return gated_delta_update(
            qkv, layer.gates(inputs), cache.matrix, slots, layer.heads, target=self.target
        )

    def prefill(
        self, layer: GatedDelta, inputs: Projected, cache: StateCache, states: SequenceStates
    ) -> torch.Tensor:
        """Return ``[T, Hv, Dv]`` for the chunks of prompts; updates their slots."""
        where = (states.prompt_slots, states.continues, states.packed_prompts)
        qkv = causal_conv_prefill(inputs.qkv, layer.conv, cache.conv, *where, target=self.target)
        return gated_delta_chunked(
            qkv, layer.gates(inputs), cache.matrix, *where, layer.heads, target=self.target
        )

    def gated_norm(
        self, layer: GatedDelta, o: torch.Tensor, z: torch.Tensor, decodes: int
    ) -> Tokens:
        """Return ``[T, Hv Dv]``: each head of ``o`` normalised, times SiLU of the gate."""
        heads = layer.heads.v_heads
        normed = GroupNormed(o.flatten(1), z, layer.norm, heads, layer.norm_eps, gate_first=False)
        return Tokens(normed, decodes, self.target)
