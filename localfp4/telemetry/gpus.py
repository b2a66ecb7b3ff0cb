"""The GPUs of this computer as the driver knows them, through NVML; needs no torch.

A figure that the driver does not tell is ``None``: Windows and WSL answer less than Linux does.
"""

from dataclasses import dataclass, replace
from typing import Any

from localfp4.telemetry.cards import link_bytes_per_s
from localfp4.telemetry.nvml import Nvml


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and what is free of it.

    Attributes:
        name: As the driver has it.
        uuid: Such as ``GPU-8f3a...``; empty where the driver does not tell.
        total_bytes: All of its memory.
        free_bytes: What no program uses now.
        capability: Compute capability times ten.
        drives_display: Whether a display is in use on it.
        link: Bytes a second from the main memory, at the best that card and slot allow.
        power_limit_w: What the driver lets it draw.
        index: As ``nvidia-smi`` counts, from 0.
    """

    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    capability: int
    drives_display: bool | None = None
    link: float | None = None
    power_limit_w: int | None = None
    index: int = 0


def gpus() -> list[Gpu]:
    """Return the GPUs with an NVIDIA driver, in the order of ``nvidia-smi``."""
    nvml = Nvml.open()
    if nvml is None:
        return []
    with nvml:
        found = (_read(nvml, index, handle) for index, handle in nvml.cards())
        return [gpu for gpu in found if gpu is not None]


def gpu_with_uuid(uuid: str) -> Gpu | None:
    """Return the GPU with a UUID, which may lack the prefix ``GPU-``, or the part of one (MIG)."""
    if uuid.startswith("MIG-"):
        return _part_with_uuid(uuid)
    return next((gpu for gpu in gpus() if uuid and gpu.uuid.endswith(uuid)), None)


def _part_with_uuid(uuid: str) -> Gpu | None:
    nvml = Nvml.open()
    if nvml is None:
        return None
    with nvml:
        part = nvml.ask("nvmlDeviceGetHandleByUUID", uuid)
        card = nvml.ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)
        index = nvml.ask("nvmlDeviceGetIndex", card)
        whole = None if index is None else _read(nvml, index, card)
        memory = nvml.ask("nvmlDeviceGetMemoryInfo", part)
    if whole is None or memory is None:
        return None
    return replace(whole, uuid=uuid, total_bytes=memory.total, free_bytes=memory.free)


def _read(nvml: Nvml, index: int, handle: Any) -> Gpu | None:
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    capability = nvml.ask("nvmlDeviceGetCudaComputeCapability", handle)
    if memory is None or capability is None:
        return None
    active = nvml.ask("nvmlDeviceGetDisplayActive", handle)
    generation = nvml.ask("nvmlDeviceGetMaxPcieLinkGeneration", handle)
    lanes = nvml.ask("nvmlDeviceGetMaxPcieLinkWidth", handle)
    milliwatts = nvml.ask("nvmlDeviceGetEnforcedPowerLimit", handle)
    return Gpu(
        name=nvml.ask("nvmlDeviceGetName", handle) or "",
        uuid=nvml.ask("nvmlDeviceGetUUID", handle) or "",
        total_bytes=memory.total,
        free_bytes=memory.free,
        capability=10 * capability[0] + capability[1],
        drives_display=None if active is None else bool(active),
        link=link_bytes_per_s(generation, lanes) if generation and lanes else None,
        power_limit_w=None if milliwatts is None else round(milliwatts / 1000),
        index=index,
    )
