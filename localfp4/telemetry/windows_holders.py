"""What programs hold of a card on Windows, which knows it where NVIDIA's driver does not.

Under Windows' own driver model the system hands out the memory of cards. Its performance counters
are asked by their English names, which every language of Windows knows. The functions take the
loaded libraries, so that everything but :func:`libraries` also runs, and is tested, elsewhere.
"""

import ctypes
import re
import sys
from dataclasses import dataclass
from typing import Any

_COUNTER = r"\GPU Process Memory(*)\Local Usage"
"""Of each process and card, in bytes: what lies in the card's own memory. "Dedicated Usage" is what
was committed, which for the desktop's ``dwm`` can be many times what it holds (System Informer
changed over for that: github.com/winsiderss/systeminformer/pull/2971, 2026-07)."""

_INSTANCE = re.compile(r"pid_(\d+)_luid_0x([0-9a-f]+)_0x([0-9a-f]+)_", re.IGNORECASE)
"""Such as ``pid_9524_luid_0x00000000_0x000095CA_phys_0``: the card is a number until a restart."""

_PDH_FMT_LARGE = 0x400
_PDH_MORE_DATA = 0x800007D2
_PDH_CSTATUS_VALID_DATA = 0
_PDH_CSTATUS_NEW_DATA = 1

_MOST_ADAPTERS = 16
"""MAX_ENUM_ADAPTERS of d3dkmthk.h."""

_KMTQAITYPE_ADAPTERADDRESS = 6


class _CounterItem(ctypes.Structure):
    """``PDH_FMT_COUNTERVALUE_ITEM_W`` of pdh.h, with the value as a 64-bit integer."""

    _fields_ = (
        ("name", ctypes.c_wchar_p),
        ("status", ctypes.c_uint32),
        ("value", ctypes.c_int64),
    )


class _Adapter(ctypes.Structure):
    """``D3DKMT_ADAPTERINFO`` of d3dkmthk.h."""

    _fields_ = (
        ("handle", ctypes.c_uint32),
        ("luid_low", ctypes.c_uint32),
        ("luid_high", ctypes.c_int32),
        ("sources", ctypes.c_uint32),
        ("prefers_moves", ctypes.c_int32),
    )


class _Adapters(ctypes.Structure):
    """``D3DKMT_ENUMADAPTERS``."""

    _fields_ = (("count", ctypes.c_uint32), ("adapters", _Adapter * _MOST_ADAPTERS))


class _Address(ctypes.Structure):
    """``D3DKMT_ADAPTERADDRESS``: a place on PCI Express."""

    _fields_ = (
        ("bus", ctypes.c_uint32),
        ("device", ctypes.c_uint32),
        ("function", ctypes.c_uint32),
    )


class _Query(ctypes.Structure):
    """``D3DKMT_QUERYADAPTERINFO``."""

    _fields_ = (
        ("handle", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("answer", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Libraries:
    """``pdh.dll``, which reads counters, and ``gdi32.dll``, which knows where adapters are."""

    pdh: Any
    gdi32: Any


def libraries() -> Libraries | None:
    """Load the libraries; ``None`` where this is not Windows."""
    if sys.platform == "win32":
        try:
            return Libraries(ctypes.WinDLL("pdh"), ctypes.WinDLL("gdi32"))
        except OSError:
            return None
    else:
        return None


def held_on(found: Libraries, bus: int, device: int) -> dict[int, int]:
    """Return what each process holds of the memory of the card in a place, in bytes.

    Empty where Windows does not tell.

    Args:
        found: The libraries.
        bus: Of PCI Express, that the card is on.
        device: Number on that bus.
    """
    luid = _luid_of(found.gdi32, bus, device)
    held: dict[int, int] = {}
    for name, used in [] if luid is None else _counted(found.pdh):
        if (instance := _INSTANCE.match(name)) and used > 0:
            pid, high, low = int(instance[1]), int(instance[2], 16), int(instance[3], 16)
            if (high, low) == luid:
                held[pid] = held.get(pid, 0) + used
    return held


def _luid_of(gdi32: Any, bus: int, device: int) -> tuple[int, int] | None:
    """Return the high and the low half of the number that Windows gave a card."""
    listed = _Adapters()
    if gdi32.D3DKMTEnumAdapters(ctypes.byref(listed)):
        return None
    luid = None
    for adapter in listed.adapters[: listed.count]:
        address = _Address()
        query = _Query(
            adapter.handle,
            _KMTQAITYPE_ADAPTERADDRESS,
            ctypes.addressof(address),
            ctypes.sizeof(address),
        )
        failed = gdi32.D3DKMTQueryAdapterInfo(ctypes.byref(query))
        gdi32.D3DKMTCloseAdapter(ctypes.byref(ctypes.c_uint32(adapter.handle)))
        if not failed and (address.bus, address.device) == (bus, device):
            luid = adapter.luid_high & 0xFFFFFFFF, adapter.luid_low
    return luid


def _counted(pdh: Any) -> list[tuple[str, int]]:
    """Return the name of each instance of the counter and its value; empty where there is none."""
    query, counter = ctypes.c_void_p(), ctypes.c_void_p()
    if pdh.PdhOpenQueryW(None, ctypes.c_size_t(0), ctypes.byref(query)):
        return []
    try:
        failed = pdh.PdhAddEnglishCounterW(
            query, _COUNTER, ctypes.c_size_t(0), ctypes.byref(counter)
        ) or pdh.PdhCollectQueryData(query)
        return [] if failed else _values(pdh, counter)
    finally:
        pdh.PdhCloseQuery(query)


def _values(pdh: Any, counter: ctypes.c_void_p) -> list[tuple[str, int]]:
    size, count = ctypes.c_uint32(0), ctypes.c_uint32(0)
    wanted = counter, _PDH_FMT_LARGE, ctypes.byref(size), ctypes.byref(count)
    # The names follow the items in the same memory, which is why its size is asked first.
    if pdh.PdhGetFormattedCounterArrayW(*wanted, None) & 0xFFFFFFFF != _PDH_MORE_DATA:
        return []
    memory = ctypes.create_string_buffer(size.value)
    if pdh.PdhGetFormattedCounterArrayW(*wanted, memory):
        return []
    items = ctypes.cast(memory, ctypes.POINTER(_CounterItem))[: count.value]
    valid = (_PDH_CSTATUS_VALID_DATA, _PDH_CSTATUS_NEW_DATA)
    return [(item.name or "", item.value) for item in items if item.status in valid]
