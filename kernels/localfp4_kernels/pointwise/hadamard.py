"""The Hadamard transform of rows by itself; producers fuse it with what comes before and after."""

import torch

from localfp4_kernels.launch import Plan
from localfp4_kernels.linear.arrange import ToRows
from localfp4_kernels.linear.produce import plan_produce
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.target import Target


def plan_hadamard(x: torch.Tensor, block: int, *, target: Target) -> Plan[torch.Tensor]:
    """Plan :func:`hadamard`."""
    return plan_produce(Rows(x), ToRows(x.dtype), hadamard=block, target=target)


def hadamard(x: torch.Tensor, block: int, *, target: Target) -> torch.Tensor:
    """Transform blocks of neighbours as ``hadamard_torch`` of ``formats.torch_hadamard`` does.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K a multiple of ``block``; computed in
            float32.
        block: 16, 32, 64 or 128.
        target: What to run on.

    Raises:
        ValueError: An argument is something else.
    """
    return plan_hadamard(x, block, target=target).run()
