"""The shortest time that something takes on a device."""

import time
from collections.abc import Callable
from contextlib import nullcontext

import torch


def best_s(run: Callable[[], object], device: torch.device, budget_s: float) -> float:
    """Return the shortest time of a run, of those that a budget allows and at least one.

    One more run before them warms up.
    """
    # Events are those of the current GPU, which need not be this one.
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        once = _timed_on_gpu if device.type == "cuda" else _timed
        once(run)
        started = time.perf_counter()
        times = [once(run)]
        while time.perf_counter() - started < budget_s:
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
