"""The GPUs of this computer as the driver knows them, through NVML; needs no torch.

A figure that the driver does not tell is ``None``: Windows and WSL answer less than Linux does.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localfp4.telemetry.cards import link_bytes_per_s
from localfp4.telemetry.nvml import TEXT_BYTES, NvmlMemory, load_nvml


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
    """

    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    capability: int
    drives_display: bool | None = None
    link: float | None = None
    power_limit_w: int | None = None


def gpus() -> list[Gpu]:
    """Return the GPUs with an NVIDIA driver."""
    library = load_nvml()
    return [] if library is None else read_gpus(library)


def gpu_with_uuid(uuid: str) -> Gpu | None:
    """Return the GPU with a UUID, which may lack the prefix ``GPU-``."""
    return next((gpu for gpu in gpus() if uuid and gpu.uuid.endswith(uuid)), None)


def read_gpus(library: Any) -> list[Gpu]:
    """Ask a loaded NVML; empty where it cannot reach a driver."""
    if library.nvmlInit_v2() != 0:
        return []
    try:
        count = _number(library.nvmlDeviceGetCount_v2) or 0
        found = (_read(library, index) for index in range(count))
        return [gpu for gpu in found if gpu is not None]
    finally:
        library.nvmlShutdown()


def _read(library: Any, index: int) -> Gpu | None:
    handle = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)):
        return None
    memory = NvmlMemory()
    major, minor = ctypes.c_int(), ctypes.c_int()
    failed = library.nvmlDeviceGetMemoryInfo(
        handle, ctypes.byref(memory)
    ) or library.nvmlDeviceGetCudaComputeCapability(
        handle, ctypes.byref(major), ctypes.byref(minor)
    )
    if failed:
        return None
    active = _number(library.nvmlDeviceGetDisplayActive, handle)
    generation = _number(library.nvmlDeviceGetMaxPcieLinkGeneration, handle)
    lanes = _number(library.nvmlDeviceGetMaxPcieLinkWidth, handle)
    milliwatts = _number(library.nvmlDeviceGetEnforcedPowerLimit, handle)
    return Gpu(
        name=_text(library.nvmlDeviceGetName, handle),
        uuid=_text(library.nvmlDeviceGetUUID, handle),
        total_bytes=memory.total,
        free_bytes=memory.free,
        capability=10 * major.value + minor.value,
        drives_display=None if active is None else bool(active),
        link=link_bytes_per_s(generation, lanes) if generation and lanes else None,
        power_limit_w=None if milliwatts is None else round(milliwatts / 1000),
    )


def _number(function: Callable[..., int], *arguments: Any) -> int | None:
    """Ask for an unsigned number; ``None`` where the driver does not tell."""
    value = ctypes.c_uint()
    return None if function(*arguments, ctypes.byref(value)) else value.value


def _text(function: Callable[..., int], handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(TEXT_BYTES)
    return "" if function(handle, text, ctypes.c_uint(TEXT_BYTES)) else text.value.decode("utf-8")
