"""The graphics cards, the slots they are in, and who holds their memory."""

from typing import Any

from localfp4.doctor.facts import GpuFacts, HolderFacts
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.telemetry.choice import best_gpu, visible_gpus
from localfp4.telemetry.gpus import Gpu, gpus
from localfp4.telemetry.holders import memory_holders
from localfp4.telemetry.nvml import Nvml

_COMPUTEMODE_DEFAULT = 0
"""NVML_COMPUTEMODE_DEFAULT: any number of programs may compute."""


def card_facts(around: Surroundings) -> tuple[GpuFacts, ...]:
    """Describe each card that the driver knows; none without one."""
    found = gpus()
    chosen = best_gpu(visible_gpus(found, around.environ))
    nvml = Nvml.open() if found else None
    if nvml is None:
        return ()
    with nvml:
        return tuple(_described(gpu, nvml, gpu == chosen) for gpu in found)


def _described(gpu: Gpu, nvml: Nvml, is_chosen: bool) -> GpuFacts:
    handle = nvml.card(gpu.uuid)
    bar1 = _asked(nvml, "nvmlDeviceGetBAR1MemoryInfo", handle)
    mode = _asked(nvml, "nvmlDeviceGetComputeMode", handle)
    return GpuFacts(
        index=gpu.index,
        name=gpu.name,
        capability=gpu.capability,
        total_bytes=gpu.total_bytes,
        free_bytes=gpu.free_bytes,
        is_chosen=is_chosen,
        drives_display=gpu.drives_display,
        bar1_bytes=bar1.bar1Total if bar1 else None,
        most_pcie_generation=_asked(nvml, "nvmlDeviceGetMaxPcieLinkGeneration", handle),
        pcie_lanes=_asked(nvml, "nvmlDeviceGetCurrPcieLinkWidth", handle),
        most_pcie_lanes=_asked(nvml, "nvmlDeviceGetMaxPcieLinkWidth", handle),
        is_exclusive=None if mode is None else mode != _COMPUTEMODE_DEFAULT,
        holders=tuple(
            HolderFacts(holder.pid, holder.name, holder.used_bytes)
            for holder in memory_holders(gpu.uuid)
        ),
    )


def _asked(nvml: Nvml, function: str, handle: Any) -> Any:
    return None if handle is None else nvml.ask(function, handle)
