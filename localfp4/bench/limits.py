"""What a device reaches at best: copies within its memory, and large products."""

import time
from collections.abc import Callable

import torch

from localfp4.bench.roofline import Limits

_COPY_BYTES = 2**28
"""Twice the largest cache of a GPU, and far beyond that of a CPU."""

_GPU_SIZE, _CPU_SIZE = 8192, 2048
"""Rows and columns of the products."""

_BUDGET_S = 0.3
_FP8_CAPABILITY = (8, 9)


@torch.inference_mode()
def measure_limits(device: torch.device, free_bytes: int) -> Limits:
    """Measure a device for about a second.

    Args:
        device: A CPU, or a GPU.
        free_bytes: Memory that can be allocated there; half of it is used at most.
    """
    copy = _copy_gb_per_s(device, min(_COPY_BYTES, free_bytes // 4))
    if device.type != "cuda":
        return Limits(copy, float32_tflops=_tflops(device, _CPU_SIZE, torch.float32))
    size = _GPU_SIZE
    while 8 * size**2 > free_bytes // 2:  # two factors and a result
        size //= 2
    has_fp8 = torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY
    return Limits(
        copy,
        bfloat16_tflops=_tflops(device, size, torch.bfloat16),
        fp8_tflops=_fp8_tflops(device, size) if has_fp8 else None,
    )


def _copy_gb_per_s(device: torch.device, size: int) -> float:
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _best_s(lambda: target.copy_(source), device) / 1e9


def _tflops(device: torch.device, size: int, dtype: torch.dtype) -> float:
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / _best_s(lambda: a @ b, device) / 1e12


def _fp8_tflops(device: torch.device, size: int) -> float:
    a, b = (
        torch.randn(size, size, device=device, dtype=torch.bfloat16).to(torch.float8_e4m3fn)
        for _ in range(2)
    )
    one = torch.ones((), device=device)

    def product() -> torch.Tensor:
        return torch._scaled_mm(a, b.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    return 2 * size**3 / _best_s(product, device) / 1e12


def _best_s(run: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a run; the first ones warm up."""
    once = _timed_on_gpu if device.type == "cuda" else _timed
    once(run)
    times = [once(run)]
    started = time.perf_counter()
    while time.perf_counter() - started < _BUDGET_S:
        times.append(once(run))
    return min(times)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _timed_on_gpu(run: Callable[[], object]) -> float:
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    run()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended)) / 1e3
