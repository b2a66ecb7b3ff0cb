"""Asks Windows for the file system of a drive and whether it is a hard disk, through ctypes.

psutil would ask all drives, of which one that is disconnected keeps it waiting. None of this needs
an administrator. Functions take the loaded library, so that what they do is tested elsewhere.
"""

import ctypes
import sys
from typing import Any

_IOCTL_STORAGE_QUERY_PROPERTY = 0x002D1400
_SEEK_PENALTY_PROPERTY = 7
_SHARE_READ_AND_WRITE = 0x3
_OPEN_EXISTING = 3
_NAME_LENGTH = 261
"""MAX_PATH + 1, as GetVolumeInformationW asks for."""

_INVALID_HANDLE = ctypes.c_void_p(-1).value


class _Query(ctypes.Structure):
    """``STORAGE_PROPERTY_QUERY``; a query of type 0 asks for the descriptor."""

    _fields_ = (
        ("property_id", ctypes.c_uint32),
        ("query_type", ctypes.c_uint32),
        ("parameters", ctypes.c_uint8 * 1),
    )


class _Descriptor(ctypes.Structure):
    """``DEVICE_SEEK_PENALTY_DESCRIPTOR``."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("incurs_seek_penalty", ctypes.c_uint8),
    )


def kernel32() -> Any:
    """Load kernel32; ``None`` where this is not Windows."""
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernel32")
        library.CreateFileW.restype = ctypes.c_void_p
        return library
    else:
        return None


def file_system_of(library: Any, drive: str) -> str:
    """Return the file system of a drive such as ``D:``, or of a share; empty where unknown."""
    name = ctypes.create_unicode_buffer(_NAME_LENGTH)
    worked = library.GetVolumeInformationW(
        f"{drive}\\", None, 0, None, None, None, name, _NAME_LENGTH
    )
    return name.value if worked else ""


def has_seek_penalty(library: Any, drive: str) -> bool | None:
    """Say whether a drive such as ``D:`` seeks, by ``StorageDeviceSeekPenaltyProperty`` (winioctl.h).

    Returns:
        ``None`` where it does not tell, as network drives and some USB adapters.
    """
    handle = library.CreateFileW(
        f"\\\\.\\{drive}", 0, _SHARE_READ_AND_WRITE, None, _OPEN_EXISTING, 0, None
    )
    if handle is None or handle == _INVALID_HANDLE:
        return None
    query, told, length = _Query(_SEEK_PENALTY_PROPERTY), _Descriptor(), ctypes.c_uint32()
    try:
        worked = library.DeviceIoControl(
            ctypes.c_void_p(handle),
            _IOCTL_STORAGE_QUERY_PROPERTY,
            ctypes.byref(query),
            ctypes.sizeof(query),
            ctypes.byref(told),
            ctypes.sizeof(told),
            ctypes.byref(length),
            None,
        )
    finally:
        library.CloseHandle(ctypes.c_void_p(handle))
    return bool(told.incurs_seek_penalty) if worked else None
