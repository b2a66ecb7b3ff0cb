"""The short convolution by kernels: one launch per phase."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import ForwardBatch, in_rounds
from localfp4.models.cache import StateCache
from localfp4.models.short_conv import ShortConv, states_of
from localfp4_kernels.gated_delta.conv import causal_conv_prefill, causal_conv_update
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelConvolve:
    """Runs on a GPU."""

    target: Target

    def forward(
        self, conv: ShortConv, x: torch.Tensor, cache: StateCache, batch: ForwardBatch
    ) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``; updates ``cache``."""
        states, parts = states_of(batch), []

        def update(x: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
            return causal_conv_update(
                x, conv.weight, cache.conv, slots, bias=conv.bias, silu=False, target=self.target
            )

        if batch.decodes:
            parts.append(in_rounds(states.rounds, (x[: batch.decodes],), update))
        if states.packed is not None:
            parts.append(
                causal_conv_prefill(
                    x[batch.decodes :],
                    conv.weight,
                    cache.conv,
                    states.prompt_slots,
                    states.continues,
                    states.packed,
                    bias=conv.bias,
                    silu=False,
                    target=self.target,
                )
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts)
