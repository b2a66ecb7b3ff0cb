"""The target that kernels on a tensor run on."""

from functools import cache

import torch
import triton

from localfp4_kernels.target import CAPABILITIES, Target

INTERPRETER = Target(capability=89, multiprocessors=4, interpreted=True)
"""What Triton's interpreter stands for: the kernels of Ada, their casts in integer arithmetic."""


def interpreted() -> bool:
    """Say whether this process interprets kernels (``TRITON_INTERPRET=1``)."""
    return bool(triton.knobs.runtime.interpret)


def target_of(device: torch.device) -> Target:
    """Return what kernels on ``device`` run on.

    Raises:
        ValueError: Kernels cannot run there; the message says what would.
    """
    if device.type == "cuda":
        return _cuda_target(device.index or 0)
    if interpreted():
        return INTERPRETER
    raise ValueError(
        f"kernels need a CUDA device, not {device.type}; set TRITON_INTERPRET=1 before Python "
        "starts to interpret them on a CPU"
    )


@cache
def _cuda_target(index: int) -> Target:
    properties = torch.cuda.get_device_properties(index)
    capability = 10 * properties.major + properties.minor
    if capability < CAPABILITIES[0]:
        raise ValueError(
            f"{properties.name} has compute capability {properties.major}.{properties.minor}; "
            "the kernels need 8.0 (RTX 30) or newer"
        )
    return Target(capability, properties.multi_processor_count, interpreted())
