"""Gates of feed-forward networks (Shazeer 2020).

On a GPU they are part of other kernels: of producers, and of products that compute both halves.
"""

import torch
import triton
import triton.language as tl
from torch.nn import functional


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


@triton.jit
def gated_mul(gate, up, GATE: tl.constexpr):
    """Return the gated product of float32 halves of any shape."""
    if GATE == "gelu_tanh":
        # (1 + tanh(z)) / 2 = sigmoid(2 z), with 2 z = sqrt(8 / pi) (g + 0.044715 g^3).
        return gate * tl.sigmoid(1.5957691216 * (gate + 0.044715 * gate * gate * gate)) * up
    if GATE == "swiglu_oai":
        gate = tl.minimum(gate, 7.0)
        up = tl.minimum(tl.maximum(up, -7.0), 7.0)
        return gate * tl.sigmoid(1.702 * gate) * (up + 1.0)
    return gate * tl.sigmoid(gate) * up
