"""The recurrence of Gated DeltaNet in plain torch."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import SequenceStates
from localfp4.models.cache import StateCache
from localfp4.models.gated_delta import GatedDelta, Projected
from localfp4_kernels.gated_delta.torch_chunked import gated_delta_chunked_torch
from localfp4_kernels.gated_delta.torch_conv import (
    causal_conv_prefill_torch,
    causal_conv_update_torch,
)
from localfp4_kernels.gated_delta.torch_gated_norm import gated_rms_norm_torch
from localfp4_kernels.gated_delta.torch_update import gated_delta_update_torch


@dataclass(frozen=True, slots=True)
class TorchGatedDelta:
    """Runs on any device."""

    def decode(
        self, layer: GatedDelta, inputs: Projected, cache: StateCache, slots: torch.Tensor
    ) -> torch.Tensor:
        """Return ``[B, Hv, Dv]`` for one token of each of B sequences; updates their slots."""
        qkv = causal_conv_update_torch(inputs.qkv, layer.conv, cache.conv, slots)
        return gated_delta_update_torch(qkv, layer.gates(inputs), cache.matrix, slots, layer.heads)

    def prefill(
        self, layer: GatedDelta, inputs: Projected, cache: StateCache, states: SequenceStates
    ) -> torch.Tensor:
        """Return ``[T, Hv, Dv]`` for the chunks of prompts; updates their slots."""
        where = (states.prompt_slots, states.continues, states.packed_prompts)
        qkv = causal_conv_prefill_torch(inputs.qkv, layer.conv, cache.conv, *where)
        return gated_delta_chunked_torch(
            qkv, layer.gates(inputs), cache.matrix, *where, layer.heads
        )

    def gated_norm(
        self, layer: GatedDelta, o: torch.Tensor, z: torch.Tensor, decodes: int
    ) -> torch.Tensor:
        """Return ``[T, Hv Dv]``: each head of ``o`` normalised, times SiLU of the gate."""
        return gated_rms_norm_torch(o, z, layer.norm, layer.norm_eps)
