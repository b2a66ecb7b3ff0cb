"""Gates of feed-forward networks (Shazeer 2020) in plain torch; free of Triton.

On a GPU they are part of other kernels: of producers, and of products that compute both halves.
See :mod:`localfp4_kernels.pointwise.gated_mul_tile`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch.nn import functional

Gate = Literal["silu", "gelu_tanh", "swiglu_oai"]
"""SwiGLU, GeGLU with the tanh form of GELU (Gemma), gpt-oss's clamped SwiGLU."""


def silu_mul_torch(gate_up: torch.Tensor) -> torch.Tensor:
    """Return ``silu(gate) * up`` ``[T, I]`` of the merged projection ``[T, 2 I]``."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def gelu_tanh_mul_torch(gate_up: torch.Tensor) -> torch.Tensor:
    """Return ``gelu(gate) * up`` ``[T, I]``, GELU in its tanh form, of ``[T, 2 I]`` (Gemma)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.gelu(gate, approximate="tanh") * up


def swiglu_oai_mul_torch(gate_up: torch.Tensor) -> torch.Tensor:
    """Return gpt-oss's clamped gate ``[T, I]`` of the merged projection ``[T, 2 I]``.

    ``gate * sigmoid(1.702 gate) * (up + 1)``, the gate at most 7 and ``up`` within 7 of zero. The
    halves lie side by side here; the checkpoint interleaves them.
    """
    gate, up = gate_up.chunk(2, dim=-1)
    gate = gate.clamp(max=7.0)
    up = up.clamp(-7.0, 7.0)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


GATES: Mapping[Gate, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"silu": silu_mul_torch, "gelu_tanh": gelu_tanh_mul_torch, "swiglu_oai": swiglu_oai_mul_torch}
)
"""Each gate in plain torch."""
