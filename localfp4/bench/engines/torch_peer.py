"""What libraries on torch have in common as contestants: a device, and what they take of it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from localfp4.bench.device.energy import EnergyMeter
from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.taken import Taken
from localfp4.config import EngineConfig
from localfp4.engine.device import choose_device, device_uuid
from localfp4.engine.faults import first_line, is_out_of_memory
from localfp4.engine.footprint import Footprint
from localfp4.telemetry.memory import reset_peak


@dataclass(frozen=True, slots=True)
class TorchPeer:
    """A device, once a model lies on it.

    Attributes:
        device: It.
        footprint: What this process holds of it.
        energy: What it draws.
    """

    device: torch.device
    footprint: Footprint
    energy: EnergyMeter

    @classmethod
    def on(cls, device: torch.device) -> "TorchPeer":
        """Watch a device."""
        uuid = None if device.type == "cpu" else device_uuid(device)
        return cls(device, Footprint(device), EnergyMeter.open(uuid))

    @property
    def name(self) -> str:
        """``cpu``, or the name of the GPU."""
        is_gpu = self.device.type == "cuda"
        return torch.cuda.get_device_name(self.device) if is_gpu else self.device.type

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def measured(self) -> Iterator[Taken]:
        """Watch the device meanwhile; what is yielded is complete afterwards."""
        taken = Taken()
        reset_peak(str(self.device))
        self.energy.start()
        yield taken
        taken.joules = self.energy.joules()
        taken.memory_bytes = self.footprint.nbytes
        taken.peak_memory_bytes = self.footprint.peak_nbytes


def chosen_device(device: str | None, threads: int) -> torch.device:
    """Choose a device as localfp4 does, and give matrix work its threads.

    Raises:
        UserError: There is no such device here.
    """
    chosen = choose_device(EngineConfig("", device=device, threads=threads))
    torch.set_num_threads(threads)
    return chosen


@contextmanager
def told(library: str, doing: str) -> Iterator[None]:
    """Tell whatever a library raises as one sentence.

    Raises:
        CaseFailedError: It raised something.
    """
    try:
        yield
    except CaseFailedError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise CaseFailedError("Memory ran out.", "does_not_fit") from error
        raise CaseFailedError(f"{library} failed to {doing}: {first_line(error)}.") from error


def give_back(device: torch.device) -> None:
    """Return memory of what was dropped to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
