"""The gauges of NVIDIA's cards, through NVML, which stays open between readings; needs no torch.

Nothing here raises: a driver that was updated under a running program, a card that fell off the
bus and a function that an old driver lacks all give ``None``.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localfp4.telemetry.nvml import TEXT_BYTES, NvmlMemory, load_nvml
from localfp4.telemetry.reading import Reading

_TEMPERATURE_GPU = 0
"""NVML_TEMPERATURE_GPU: the sensor on the die."""

_NOT_AVAILABLE = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE: Windows' own driver model keeps the memory of processes to itself."""

_MOST_PROCESSES = 256


class _Utilization(ctypes.Structure):
    """``nvmlUtilization_t``, in percent."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Process(ctypes.Structure):
    """``nvmlProcessInfo_t``."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


@dataclass(frozen=True, slots=True)
class _Card:
    name: str
    uuid: str
    handle: ctypes.c_void_p


class CardGauges:
    """All cards with a driver. Cards are named by their UUID; it may lack the prefix ``GPU-``.

    Readings may be taken from any thread; after :meth:`close` there are none.
    """

    def __init__(self, library: Any) -> None:
        """Look for cards with an NVML that was loaded and initialised."""
        self._library = library
        self._cards = list(self._find())

    @classmethod
    def open(cls) -> "CardGauges | None":
        """Initialise NVML; ``None`` where it reaches no driver or no card."""
        library = load_nvml()
        if library is None or library.nvmlInit_v2() != 0:
            return None
        gauges = cls(library)
        if not gauges._cards:
            gauges.close()
            return None
        return gauges

    def close(self) -> None:
        """Let go of the driver. May be called twice."""
        if self._library is not None:
            self._cards.clear()
            self._library.nvmlShutdown()
            self._library = None

    def with_name(self, name: str) -> str | None:
        """Return the UUID of the card of a name, where there is exactly one."""
        found = [card.uuid for card in self._cards if card.name == name]
        return found[0] if len(found) == 1 else None

    def of_process(self, pid: int) -> str | None:
        """Return the UUID of the card that a process computes on."""
        return next((card.uuid for card in self._cards if pid in self._processes(card)), None)

    def process_bytes(self, uuid: str, pid: int) -> int | None:
        """Return what a process holds of a card's memory, where the driver tells."""
        card = self._card(uuid)
        return None if card is None else self._processes(card).get(pid)

    def read(self, uuid: str) -> Reading | None:
        """Read a card, which takes a fraction of a millisecond; ``None`` where it is gone."""
        card = self._card(uuid)
        memory = NvmlMemory()
        if card is None or self._fails("nvmlDeviceGetMemoryInfo", card.handle, memory):
            return None
        rates = _Utilization()
        is_unknown = self._fails("nvmlDeviceGetUtilizationRates", card.handle, rates)
        milliwatts = self._number("nvmlDeviceGetPowerUsage", card.handle)
        millijoules = self._number(
            "nvmlDeviceGetTotalEnergyConsumption", card.handle, out=ctypes.c_ulonglong()
        )
        sensor = ctypes.c_uint(_TEMPERATURE_GPU)
        return Reading(
            total_bytes=memory.total,
            used_bytes=memory.total - memory.free,
            temperature_c=self._number("nvmlDeviceGetTemperature", card.handle, sensor),
            power_w=None if milliwatts is None else milliwatts / 1000,
            energy_j=None if millijoules is None else millijoules / 1000,
            busy=None if is_unknown else rates.gpu / 100,
        )

    def _find(self) -> Iterator[_Card]:
        for index in range(self._number("nvmlDeviceGetCount_v2") or 0):
            handle = ctypes.c_void_p()
            if not self._fails("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), handle):
                name = self._text("nvmlDeviceGetName", handle)
                yield _Card(name, self._text("nvmlDeviceGetUUID", handle), handle)

    def _card(self, uuid: str) -> _Card | None:
        return next((card for card in self._cards if uuid and card.uuid.endswith(uuid)), None)

    def _processes(self, card: _Card) -> dict[int, int | None]:
        """Return what each process that computes on a card holds of its memory."""
        count = ctypes.c_uint(_MOST_PROCESSES)
        found = (_Process * _MOST_PROCESSES)()
        name = "nvmlDeviceGetComputeRunningProcesses_v3"
        if self._library is None or (function := getattr(self._library, name, None)) is None:
            return {}
        if function(card.handle, ctypes.byref(count), found):
            return {}
        return {
            process.pid: None if process.used_bytes == _NOT_AVAILABLE else process.used_bytes
            for process in found[: count.value]
        }

    def _fails(self, name: str, first: Any, out: Any) -> bool:
        """Call a function of one argument and a result."""
        function = getattr(self._library, name, None)
        return function is None or function(first, ctypes.byref(out)) != 0

    def _number(self, name: str, *arguments: Any, out: Any = None) -> int | None:
        """Ask for a number; ``None`` where the driver does not tell."""
        value = ctypes.c_uint() if out is None else out
        function = getattr(self._library, name, None)
        if function is None or function(*arguments, ctypes.byref(value)):
            return None
        number: int = value.value
        return number

    def _text(self, name: str, handle: ctypes.c_void_p) -> str:
        text = ctypes.create_string_buffer(TEXT_BYTES)
        function = getattr(self._library, name, None)
        if function is None or function(handle, text, ctypes.c_uint(TEXT_BYTES)):
            return ""
        return text.value.decode("utf-8", "replace")
