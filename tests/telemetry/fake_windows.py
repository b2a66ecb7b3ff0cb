"""Windows' libraries that tell who holds the memory of cards, as they answer on 64 bits.

The layouts are those of pdh.h and d3dkmthk.h, written as bytes.
"""

import ctypes
import struct
from collections.abc import Mapping
from typing import Any

GIB = 2**30
_MORE_DATA = -0x7FFFF82E  # PDH_MORE_DATA, 0x800007D2, as a signed result
_FAILED = -0x3FFFF448


class Pdh:
    """Performance counters with an instance each.

    Attributes:
        counter: The path that was added.
        is_open: Whether a query is open.
    """

    def __init__(
        self, values: Mapping[str, int] | None = None, *, fails: str = "", status: int = 0
    ) -> None:
        self._values = values or {"pid_31_luid_0x00000000_0x0000D1B2_phys_0": GIB}
        self._fails = fails
        self._status = status
        self._names = [ctypes.create_unicode_buffer(name) for name in self._values]
        self.counter = ""
        self.is_open = False

    def PdhOpenQueryW(self, source: None, data: Any, query: Any) -> int:
        if self._fails == "PdhOpenQueryW":
            return _FAILED
        query._obj.value, self.is_open = 0x5150, True
        return 0

    def PdhAddEnglishCounterW(self, query: Any, path: str, data: Any, counter: Any) -> int:
        assert query.value == 0x5150
        counter._obj.value, self.counter = 0xC0, path
        return _FAILED if self._fails == "PdhAddEnglishCounterW" else 0

    def PdhCollectQueryData(self, query: Any) -> int:
        return _FAILED if self._fails == "PdhCollectQueryData" else 0

    def PdhGetFormattedCounterArrayW(
        self, counter: Any, kind: int, size: Any, count: Any, items: Any
    ) -> int:
        assert (counter.value, kind) == (0xC0, 0x400)
        if self._fails == "PdhGetFormattedCounterArrayW":
            return _FAILED
        packed = b"".join(
            struct.pack("<QI4xq", ctypes.addressof(name), self._status, value)
            for name, value in zip(self._names, self._values.values(), strict=True)
        )
        size._obj.value, count._obj.value = len(packed), len(self._values)
        if items is None:
            return _MORE_DATA
        ctypes.memmove(items, packed, len(packed))
        return 0

    def PdhCloseQuery(self, query: Any) -> int:
        self.is_open = False
        return 0


class Gdi32:
    """Adapters at places on PCI Express, each with a number in two halves.

    Attributes:
        handles_open: How many adapters are open.
    """

    def __init__(
        self, luids: Mapping[tuple[int, int], tuple[int, int]] | None = None, *, fails: str = ""
    ) -> None:
        self._luids = luids or {(2, 0): (0, 0xD1B2)}
        self._fails = fails
        self.handles_open = 0

    def D3DKMTEnumAdapters(self, listed: Any) -> int:
        if self._fails == "D3DKMTEnumAdapters":
            return _FAILED
        assert ctypes.sizeof(listed._obj) == 4 + 16 * 20
        packed = struct.pack("<I", len(self._luids))
        for number, (high, low) in enumerate(self._luids.values()):
            packed += struct.pack("<IIiIi", 0x40 + number, low, high, 1, 0)
        ctypes.memmove(ctypes.addressof(listed._obj), packed, len(packed))
        self.handles_open += len(self._luids)
        return 0

    def D3DKMTQueryAdapterInfo(self, query: Any) -> int:
        raw = ctypes.string_at(ctypes.addressof(query._obj), ctypes.sizeof(query._obj))
        handle, kind, answer, size = struct.unpack("<IIQI4x", raw)
        assert (kind, size) == (6, 12)
        if self._fails == "D3DKMTQueryAdapterInfo":
            return _FAILED
        bus, device = list(self._luids)[handle - 0x40]
        ctypes.memmove(answer, struct.pack("<III", bus, device, 0), size)
        return 0

    def D3DKMTCloseAdapter(self, handle: Any) -> int:
        assert handle._obj.value >= 0x40
        self.handles_open -= 1
        return 0
