"""How fast a device multiplies large matrices, in each type that it has."""

from collections.abc import Callable

import torch
from torch.nn import functional

from localfp4.bench.device.best_time import best_s

_CPU_SIZES = (256, 512, 1024, 2048)
_GPU_SIZE = 8192
"""Rows and columns of the factors."""

_LONG_S = 0.05
"""A CPU that takes longer for a product has no use for a larger one."""

_CPU_BUDGET_S, _GPU_BUDGET_S = 0.15, 0.3

_FP8_CAPABILITY, _FP4_CAPABILITY = (8, 9), (10, 0)
_NVFP4_GROUP = 16

Multiply = Callable[[], torch.Tensor]
MakeProduct = Callable[[torch.device, int], Multiply]
"""From a device and a size to something that multiplies square matrices there."""


def cpu_tflops(dtype: torch.dtype) -> float:
    """Measure a CPU's products in float32 or bfloat16 for a few tenths of a second."""
    device, best = torch.device("cpu"), 0.0
    for size in _CPU_SIZES:
        spent = best_s(dense_product(dtype)(device, size), device, _CPU_BUDGET_S)
        best = max(best, _tflops(size, spent))
        if spent > _LONG_S:
            break
    return best


def gpu_tflops(device: torch.device, free_bytes: int, make: MakeProduct) -> float | None:
    """Measure a GPU's products, or return ``None`` where it, or this torch, does not have them.

    Args:
        device: A GPU.
        free_bytes: Memory that can be allocated there; half of it is used at most.
        make: Of the functions below.
    """
    size = _GPU_SIZE
    while 12 * size**2 > free_bytes // 2:  # two factors and a result of float32
        size //= 2
    try:
        return _tflops(size, best_s(make(device, size), device, _GPU_BUDGET_S))
    except (RuntimeError, ValueError):
        # What torch raises for types that its libraries cannot multiply here, and for too little
        # memory.
        return None


def has_fp8(device: torch.device) -> bool:
    """Say whether a GPU has tensor cores for FP8."""
    return torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY


def has_fp4(device: torch.device) -> bool:
    """Say whether a GPU has tensor cores for FP4."""
    return torch.cuda.get_device_capability(device) >= _FP4_CAPABILITY


def dense_product(dtype: torch.dtype) -> MakeProduct:
    """Return what makes products ``x W^T`` in a type."""

    def make(device: torch.device, size: int) -> Multiply:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        return lambda: functional.linear(a, b)

    return make


def fp8_product(device: torch.device, size: int) -> Multiply:
    """Return a product of E4M3 with one scale for each factor."""
    a, b = (
        torch.randn(size, size, device=device, dtype=torch.bfloat16).to(torch.float8_e4m3fn)
        for _ in range(2)
    )
    one = torch.ones((), device=device)
    # Hopper adds in full precision otherwise, more slowly.
    return lambda: torch._scaled_mm(
        a, b.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def fp4_product(device: torch.device, size: int) -> Multiply:
    """Return a product of NVFP4: E2M1 with a scale in E4M3 for each 16 numbers.

    Scales are swizzled in tiles of 128 rows and 4 groups (cuBLAS, "1D block scaling factors
    layout"); as all are one, their order does not matter.
    """
    packed = (size, size // 2)
    a, b = (
        torch.randint(256, packed, dtype=torch.uint8, device=device).view(torch.float4_e2m1fn_x2)
        for _ in range(2)
    )
    scales = torch.ones(size * size // _NVFP4_GROUP, device=device).to(torch.float8_e4m3fn)
    return lambda: torch._scaled_mm(
        a, b.T, scale_a=scales, scale_b=scales, out_dtype=torch.bfloat16
    )


def _tflops(size: int, seconds: float) -> float:
    return 2 * size**3 / seconds / 1e12
