"""The gate of SwiGLU (Shazeer 2020)."""

import torch
from torch.nn import functional


def silu_mul_torch(gate_up: torch.Tensor) -> torch.Tensor:
    """Return ``silu(gate) * up`` ``[T, I]`` of the merged projection ``[T, 2 I]``."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up
