"""The block Hadamard rotation of MR-GPTQ (arXiv:2509.23202), in plain torch.

``rotate(x) rotate(W)^T = x W^T``: weights are rotated before they are rounded, inputs before every
product, and outliers are spread over a block.
"""

import torch

from localfp4_kernels.formats.torch_hadamard import hadamard_torch


def hadamard(block: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return Sylvester's matrix ``[block, block]``, normalised: symmetric, and its own inverse.

    Args:
        block: A power of two.
        device: Where it goes.
        dtype: Floating; entries are rounded once.
    """
    return hadamard_torch(torch.eye(block, dtype=torch.float64, device=device), block).to(dtype)


def rotate(x: torch.Tensor, block: int) -> torch.Tensor:
    """Rotate the last dimension of ``x`` in blocks; computed in float32 or wider.

    One product is several times as fast as the passes of the transform.

    Args:
        x: ``[..., K]`` of any floating type, K a multiple of ``block``.
        block: A power of two; 0 returns ``x`` as it is.

    Returns:
        ``[..., K]`` in the type of ``x``.
    """
    if not block:
        return x
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    rotated: torch.Tensor = wide.unflatten(-1, (-1, block)) @ hadamard(block, x.device, wide.dtype)
    return rotated.flatten(-2).to(x.dtype)
