"""Which programs hold the memory of a graphics card; never raises.

The driver tells it on Linux; on Windows the system does; within WSL nobody. Names of programs come
from anyone who may start one: whoever shows them takes control characters out first.
"""

from typing import Any

from localfp4.telemetry import windows_holders
from localfp4.telemetry.holder import Holder
from localfp4.telemetry.nvml import Nvml
from localfp4.telemetry.processes import program_name

_LISTS = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)


def memory_holders(uuid: str) -> list[Holder]:
    """Return the programs that hold memory of a card, the largest first, this one among them.

    Args:
        uuid: Of the card; it may lack the prefix ``GPU-``.
    """
    nvml = Nvml.open()
    if nvml is None:
        return []
    with nvml:
        card = nvml.card(uuid)
        held = {} if card is None else _told_by_windows(nvml, card) or processes_of(nvml, card)
    found = [Holder(pid, program_name(pid), used) for pid, used in held.items()]
    return sorted(found, key=lambda holder: (-(holder.used_bytes or 0), holder.name, holder.pid))


def processes_of(nvml: Nvml, card: Any) -> dict[int, int | None]:
    """Return what each process that computes or draws on a card holds of its memory.

    One that does both is in both lists, with the same figure. Windows' own driver model keeps the
    figures to itself: they are ``None``.
    """
    held: dict[int, int | None] = {}
    for name in _LISTS:
        for process in nvml.ask(name, card) or ():
            if held.get(process.pid) is None:
                held[process.pid] = process.usedGpuMemory
    return held


def _told_by_windows(nvml: Nvml, card: Any) -> dict[int, int | None]:
    libraries, place = windows_holders.libraries(), nvml.ask("nvmlDeviceGetPciInfo_v3", card)
    if libraries is None or place is None:
        return {}
    return {**windows_holders.held_on(libraries, place.bus, place.device)}
