"""How fast a device moves what lies in its memory, and a CPU what lies in its caches."""

from dataclasses import dataclass

import torch

from localfp4.bench.device.best_time import best_s
from localfp4.errors import UserError

_BYTES, _GPU_BYTES = 2**28, 2**30
"""Far beyond the cache of a desktop's CPU, and eight times the largest one of a GPU."""

_GPU_CACHES = 4
"""Fewer times its cache, and what a GPU moves comes from there as much as from its memory."""

_CACHED_BYTES = tuple(2**power for power in range(22, 28))
"""From what all caches hold to what few do, smallest first."""

TOO_FULL = (
    "The GPU's memory is too full to measure how fast it is; close other programs, or choose a "
    "smaller batch or context."
)

_FASTER_IN_CACHES = 2.0
"""Caches are several times as fast as memory; a step of sizes between is partly in either."""

_BUDGET_S, _CACHED_BUDGET_S = 0.2, 0.03


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """GB/s of a device; the attributes are those of :class:`localfp4.bench.peaks.Limits`."""

    copy_gb_per_s: float
    read_gb_per_s: float
    cached_gb_per_s: float | None = None
    cached_bytes: int | None = None


def measure_bandwidth(device: torch.device, free_bytes: int) -> Bandwidth:
    """Measure for about half a second.

    Args:
        device: A CPU, or a GPU.
        free_bytes: Memory that can be allocated there; half of it is used at most.

    Raises:
        UserError: So little of a GPU is free that its cache would be measured.
    """
    is_gpu = device.type == "cuda"
    size = min(_GPU_BYTES if is_gpu else _BYTES, free_bytes // 4) // 4 * 4
    if is_gpu and size < _GPU_CACHES * torch.cuda.get_device_properties(device).L2_cache_size:
        raise UserError(TOO_FULL)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    copied, read = _copy_gb_per_s(source), _read_gb_per_s(source, _BUDGET_S)
    if is_gpu:
        return Bandwidth(copied, read)
    speeds = {
        part: _read_gb_per_s(source[:part], _CACHED_BUDGET_S)
        for part in _CACHED_BYTES
        if part < size
    }
    memory = max(copied, read)
    cached = {part: speed for part, speed in speeds.items() if speed > _FASTER_IN_CACHES * memory}
    if not cached:
        return Bandwidth(copied, read)
    return Bandwidth(copied, read, max(cached.values()), 2 * max(cached))


def _copy_gb_per_s(source: torch.Tensor) -> float:
    target = torch.empty_like(source)
    spent = best_s(lambda: target.copy_(source), source.device, _BUDGET_S)
    return 2 * source.nbytes / spent / 1e9


def _read_gb_per_s(source: torch.Tensor, budget_s: float) -> float:
    numbers = source.view(torch.float32)
    return source.nbytes / best_s(numbers.sum, source.device, budget_s) / 1e9
