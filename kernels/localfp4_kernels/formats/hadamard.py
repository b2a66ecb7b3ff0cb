"""The Hadamard transform of blocks of neighbours, which spreads outliers before 4-bit rounding.

Sylvester's matrix, normalised: ``H[i, j] = (-1)^popcount(i & j) / sqrt(block)``. It is symmetric
and its own inverse. Checkpoints of FP-Quant (MR-GPTQ, arXiv:2509.23202) rotate inputs this way.
"""

import math

import torch
import triton
import triton.language as tl

HADAMARD_BLOCKS = (16, 32, 64, 128)
"""Sizes of blocks that kernels rotate."""


@triton.constexpr_function
def _log2(value):
    return value.bit_length() - 1


@triton.jit
def rotate(x, HADAMARD: tl.constexpr, BLOCK: tl.constexpr):
    """Transform float32 ``[BLOCK]`` in blocks of ``HADAMARD`` by butterflies."""
    for stage in tl.static_range(_log2(HADAMARD)):
        x = _butterflies(x, 1 << stage, BLOCK)
    return x * (HADAMARD**-0.5)


@triton.jit
def _butterflies(x, SPAN: tl.constexpr, BLOCK: tl.constexpr):
    """Replace elements ``SPAN`` apart by their sum and difference."""
    pairs = tl.reshape(x, (BLOCK // (2 * SPAN), 2, SPAN))
    sign = tl.where(tl.arange(0, 2) == 0, 1.0, -1.0)[None, :, None]
    # Reductions leave every element where it is; splitting and joining pairs would move them all
    # through shared memory.
    total = tl.sum(pairs, 1)[:, None, :]
    difference = tl.sum(pairs * sign, 1)[:, None, :]
    return tl.reshape(tl.where(sign > 0.0, total, difference), (BLOCK,))


def hadamard_torch(x: torch.Tensor, block: int) -> torch.Tensor:
    """Transform the last dimension of ``x`` in blocks, in its own type.

    Args:
        x: ``[..., K]``, K a multiple of ``block``.
        block: A power of two.
    """
    shape = x.shape
    for stage in range(block.bit_length() - 1):
        first, second = x.reshape(-1, 2, 1 << stage).unbind(1)
        x = torch.stack((first + second, first - second), 1)
    return (x * (1.0 / math.sqrt(block))).reshape(shape)
