"""Time on a GPU, and what the GPU reaches at best in the same minute."""

import statistics
import time
from collections.abc import Callable

import torch

_FLUSH_BYTES = 256 * 2**20
"""Twice the largest L2 cache (B200), so that every run finds its data in memory."""


class Timer:
    """Median times of operators on a device.

    On a GPU, an operator is captured in a CUDA graph and replayed, and the L2 cache is overwritten
    before each replay. Writing it takes longer than the CPU needs to submit the replay, so that no
    launch latency is measured.
    """

    def __init__(self, device: torch.device, *, repeats: int) -> None:
        self._device = device
        self._repeats = repeats
        size = _FLUSH_BYTES if device.type == "cuda" else 0
        self._flush = torch.empty(size, dtype=torch.int8, device=device)

    def microseconds(self, run: Callable[[], object], *, graph: bool = True) -> float:
        """Time ``run``; ``graph=False`` is for what waits for the device."""
        if self._device.type != "cuda":
            return self._on_cpu(run)
        for _ in range(3):
            run()
        replay = self._capture(run) if graph else run
        pairs = []
        for _ in range(self._repeats):
            started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self._flush.zero_()
            started.record()
            replay()
            ended.record()
            pairs.append((started, ended))
        torch.cuda.synchronize()
        return 1e3 * statistics.median(started.elapsed_time(ended) for started, ended in pairs)

    def _on_cpu(self, run: Callable[[], object]) -> float:
        started = time.perf_counter()
        run()
        return 1e6 * (time.perf_counter() - started)

    def _capture(self, run: Callable[[], object]) -> Callable[[], object]:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay


def copy_gb_per_s(timer: Timer, device: torch.device, size: int) -> float:
    """Measure a copy of ``size`` bytes within the device; each counts as read and as written."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / timer.microseconds(lambda: target.copy_(source)) / 1e3


def bf16_tflops(timer: Timer, device: torch.device, size: int) -> float:
    """Measure a square product in bfloat16."""
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    return 2 * size**3 / timer.microseconds(lambda: a @ b.T) / 1e6


def fp8_tflops(timer: Timer, device: torch.device, size: int) -> float:
    """Measure a square product in E4M3.

    Raises:
        RuntimeError: The device has no FP8 products.
    """
    a, b = (torch.randn(size, size, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    return 2 * size**3 / timer.microseconds(lambda: scaled_mm(a, b, torch.bfloat16)) / 1e6


def scaled_mm(x: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Multiply E4M3 tokens ``[T, K]`` with an E4M3 weight ``[N, K]``, both with scales of one."""
    one = torch.ones((), device=x.device)
    return torch._scaled_mm(x, weight.T, scale_a=one, scale_b=one, out_dtype=dtype)
