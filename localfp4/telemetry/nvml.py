"""What NVIDIA's management library says of the driver, through ctypes; needs no torch."""

import ctypes
import sys
from typing import Any

_VERSION_BUFFER = 80
"""NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE of nvml.h."""

TEXT_BYTES = 96
"""NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE of nvml.h."""


class NvmlMemory(ctypes.Structure):
    """``nvmlMemory_t``, in bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver, or ``None`` where there is none."""
    library = load_nvml()
    return None if library is None else read_driver_version(library)


def load_nvml() -> Any:
    """Load NVML; ``None`` where no driver is installed."""
    try:
        return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None


def read_driver_version(library: Any) -> str | None:
    """Ask a loaded NVML; ``None`` where it cannot reach a driver."""
    if library.nvmlInit_v2() != 0:
        return None
    try:
        text = ctypes.create_string_buffer(_VERSION_BUFFER)
        failed = library.nvmlSystemGetDriverVersion(text, _VERSION_BUFFER)
        return None if failed else text.value.decode("ascii", "replace")
    finally:
        library.nvmlShutdown()
