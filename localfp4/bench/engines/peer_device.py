"""Where another library runs in this process, and what it takes there; imports no torch.

Figures of a GPU are those that its driver tells of this process, which is the same for every
library, whatever allocates its memory.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from localfp4.bench.device.energy import EnergyMeter
from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.taken import Taken
from localfp4.errors import RequestError
from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.choice import chosen_gpu, count_as_nvidia_smi, visible_gpus
from localfp4.telemetry.gpus import gpus
from localfp4.telemetry.memory import memory_use, reset_peak


@dataclass(slots=True)
class PeerDevice:
    """A device.

    Attributes:
        name: ``cpu``, or the name of the GPU.
        index: Which GPU; ``None`` is the CPU.
        uuid: Of the GPU.
    """

    name: str = "cpu"
    index: int | None = None
    uuid: str = ""
    _energy: EnergyMeter | None = field(default=None, init=False)

    @classmethod
    def of(cls, device: str | None, has_gpu: Callable[[], bool]) -> "PeerDevice":
        """Find a device.

        Args:
            device: A torch device string; ``None`` takes the GPU where a library has one.
            has_gpu: Whether the library can use GPUs.

        Raises:
            CaseFailedError: The library was built for CPUs only, or there is no such GPU.
        """
        count_as_nvidia_smi()
        visible = visible_gpus(gpus())
        if device == "cpu" or (device is None and not (has_gpu() and visible)):
            return cls()
        if not has_gpu():
            raise CaseFailedError("This build of the library runs on CPUs only.", "unsupported")
        if not visible:  # the library may know a card where the driver tells of none
            return cls(device or "cuda", int((device or "").partition(":")[2] or 0))
        try:
            index = chosen_gpu(device, visible) or 0
        except RequestError as error:
            raise CaseFailedError(str(error), "unsupported") from error
        return cls(visible[index].name, index, visible[index].uuid)

    @contextmanager
    def measured(self) -> Iterator[Taken]:
        """Watch the device meanwhile; what is yielded is complete afterwards."""
        taken = Taken()
        energy = self._energy = self._energy or EnergyMeter.open(
            None if self.index is None else self.uuid
        )
        if self.index is None:
            reset_peak("cpu")
        energy.start()
        yield taken
        taken.joules = energy.joules()
        if self.index is None:
            use = memory_use("cpu")
            taken.memory_bytes, taken.peak_memory_bytes = use.used_bytes, use.peak_bytes
        else:
            taken.memory_bytes = _held_bytes(self.uuid)

    def close(self) -> None:
        """Let go of its gauges. May be called twice."""
        if self._energy is not None:
            self._energy.close()


def _held_bytes(uuid: str) -> int | None:
    cards = CardGauges.open()
    if cards is None:
        return None
    try:
        return cards.process_bytes(uuid, os.getpid())
    finally:
        cards.close()
