"""The gate of a feed-forward layer, fused into the product that computes both of its halves.

A program takes as many gate rows as up rows, so that the pairs meet in its registers.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_multiple
from localfp4_kernels.pointwise.gated_mul import GATES, Gate
from localfp4_kernels.pointwise.gated_mul_tile import gated_mul


@triton.jit
def gate_rows(first, HALF: tl.constexpr, BLOCK: tl.constexpr):
    """Return int32 ``[BLOCK]``: gate rows from ``first`` on, then the up rows that belong to them.

    ``HALF`` is the number of gate rows in the matrix; places past it repeat the last.
    """
    place = tl.arange(0, BLOCK)
    row = tl.minimum(first + place % (BLOCK // 2), HALF - 1)
    return tl.where(place < BLOCK // 2, row, row + HALF)


@triton.jit
def apply_gate(y, GATE: tl.constexpr):
    """Return the gated product of float32 ``[R]`` or ``[R, T]``, whose first half is the gate."""
    HALF: tl.constexpr = y.shape[0] // 2
    if len(y.shape) == 1:
        gate, up = tl.split(tl.trans(tl.reshape(y, (2, HALF))))
    else:
        gate, up = tl.split(tl.permute(tl.reshape(y, (2, HALF, y.shape[1])), (1, 2, 0)))
    return gated_mul(gate, up, GATE)


def check_gate(gate: Gate | None, rows: int, residual: torch.Tensor | None) -> int:
    """Check a gate and return the width of the result.

    Raises:
        ValueError: There is no such gate, or it does not go with the other arguments.
    """
    if gate is None:
        return rows
    if gate not in GATES:
        raise ValueError(f"gate must be one of {', '.join(GATES)} or None, not {gate!r}")
    if residual is not None:
        raise ValueError("residual must be None where there is a gate")
    check_multiple("rows of weight under a gate", rows, 2)
    return rows // 2


def apply_gate_torch(y: torch.Tensor, gate: Gate | None) -> torch.Tensor:
    """Return the gated product of ``[T, N]``, or ``y`` where there is no gate."""
    return y if gate is None else GATES[gate](y)
