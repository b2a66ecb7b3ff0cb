"""The gauges of NVIDIA's cards, through NVML, which stays open between readings; needs no torch.

Nothing here raises: a driver that was updated under a running program, a card that fell off the
bus and a function that an old driver lacks all give ``None``.
"""

from dataclasses import dataclass
from typing import Any

from localfp4.telemetry.holders import processes_of
from localfp4.telemetry.nvml import Nvml
from localfp4.telemetry.reading import Reading
from localfp4.telemetry.slowdown import slowed_by

_TEMPERATURE_GPU = 0
"""NVML_TEMPERATURE_GPU: the sensor on the die."""


@dataclass(frozen=True, slots=True)
class _Card:
    name: str
    uuid: str
    handle: Any


class CardGauges:
    """All cards with a driver. Cards are named by their UUID; it may lack the prefix ``GPU-``.

    Readings may be taken from any thread; after :meth:`close` there are none.
    """

    def __init__(self, nvml: Nvml) -> None:
        """Look for cards with an NVML that is open, and closed with this."""
        self._nvml: Nvml | None = nvml
        self._cards = [
            _Card(
                nvml.ask("nvmlDeviceGetName", handle) or "",
                nvml.ask("nvmlDeviceGetUUID", handle) or "",
                handle,
            )
            for _, handle in nvml.cards()
        ]

    @classmethod
    def open(cls) -> "CardGauges | None":
        """Initialise NVML; ``None`` where it reaches no driver or no card."""
        nvml = Nvml.open()
        if nvml is None:
            return None
        gauges = cls(nvml)
        if not gauges._cards:
            gauges.close()
            return None
        return gauges

    def close(self) -> None:
        """Let go of the driver. May be called twice."""
        if self._nvml is not None:
            self._cards.clear()
            self._nvml.close()
            self._nvml = None

    def with_name(self, name: str) -> str | None:
        """Return the UUID of the card of a name, where there is exactly one."""
        found = [card.uuid for card in self._cards if card.name == name]
        return found[0] if len(found) == 1 else None

    def of_process(self, pid: int) -> str | None:
        """Return the UUID of the card that a process computes or draws on."""
        return next((card.uuid for card in self._cards if pid in self._processes(card)), None)

    def process_bytes(self, uuid: str, pid: int) -> int | None:
        """Return what a process holds of a card's memory, where the driver tells."""
        card = self._card(uuid)
        return None if card is None else self._processes(card).get(pid)

    def read(self, uuid: str) -> Reading | None:
        """Read a card, which takes a fraction of a millisecond; ``None`` where it is gone."""
        nvml, card = self._nvml, self._card(uuid)
        if nvml is None or card is None:
            return None
        memory = nvml.ask("nvmlDeviceGetMemoryInfo", card.handle)
        if memory is None:
            return None
        rates = nvml.ask("nvmlDeviceGetUtilizationRates", card.handle)
        milliwatts = nvml.ask("nvmlDeviceGetPowerUsage", card.handle)
        millijoules = nvml.ask("nvmlDeviceGetTotalEnergyConsumption", card.handle)
        return Reading(
            total_bytes=memory.total,
            used_bytes=memory.total - memory.free,
            temperature_c=nvml.ask("nvmlDeviceGetTemperature", card.handle, _TEMPERATURE_GPU),
            power_w=None if milliwatts is None else milliwatts / 1000,
            energy_j=None if millijoules is None else millijoules / 1000,
            busy=None if rates is None else rates.gpu / 100,
            slowed_by=slowed_by(nvml, card.handle),
        )

    def _card(self, uuid: str) -> _Card | None:
        return next((card for card in self._cards if uuid and card.uuid.endswith(uuid)), None)

    def _processes(self, card: _Card) -> dict[int, int | None]:
        return {} if self._nvml is None else processes_of(self._nvml, card.handle)
