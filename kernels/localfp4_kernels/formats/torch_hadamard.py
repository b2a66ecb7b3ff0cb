"""The Hadamard transform of blocks of neighbours in plain torch.

Sylvester's matrix, normalised: ``H[i, j] = (-1)^popcount(i & j) / sqrt(block)``. It is symmetric
and its own inverse. Checkpoints of FP-Quant (MR-GPTQ, arXiv:2509.23202) rotate inputs this way.
"""

import math

import torch

HADAMARD_BLOCKS = (16, 32, 64, 128)
"""Sizes of blocks that kernels rotate."""


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
