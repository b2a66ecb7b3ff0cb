"""The machine that a model would run on here, as it is now; torch-free."""

from localfp4.errors import RequestError
from localfp4.models.plan import Machine, cpu_machine, gpu_machine
from localfp4.telemetry.cards import card_of_device
from localfp4.telemetry.cpu import cpu_name
from localfp4.telemetry.gpus import Gpu, gpus
from localfp4.telemetry.memory import system_memory

_OLDEST = 80
"""Compute capability, times ten, that kernels need."""


def machine_here(device: str | None, *, held_bytes: int = 0) -> tuple[str, Machine]:
    """Return the name of a device of this computer, and what is free of it now.

    Args:
        device: A torch device string; ``None`` takes the best GPU, else the CPU.
        held_bytes: Memory of the device that would be given back first, and counts as free.

    Raises:
        RequestError: There is no such device.
    """
    on_cpu = device is not None and device.startswith("cpu")
    found = None if on_cpu else _best(gpus(), device)
    memory = system_memory()
    if found is None:
        free = min(memory.available_bytes + held_bytes, memory.total_bytes)
        return cpu_name(), cpu_machine(free, memory.total_bytes)
    return found.name.removeprefix("NVIDIA "), gpu_machine(
        free_bytes=min(found.free_bytes + held_bytes, found.total_bytes),
        total_bytes=found.total_bytes,
        ram_bytes=memory.available_bytes,
        capability=found.capability,
        card=card_of_device(found.name, found.total_bytes),
        drives_display=found.drives_display,
        link=found.link,
        has_context=False,
    )


def _best(found: list[Gpu], device: str | None) -> Gpu | None:
    """Return the GPU that is asked for, or the newest and largest one that kernels run on.

    Raises:
        RequestError: There is none.
    """
    kind, _, index = (device or "cuda").partition(":")
    if kind != "cuda":
        raise RequestError(f"There is no device '{device}'; use cpu, cuda or cuda:0.")
    usable = sorted(
        (gpu for gpu in found if gpu.capability >= _OLDEST),
        key=lambda gpu: (gpu.capability, gpu.total_bytes),
        reverse=True,
    )
    if device is not None and not usable:
        raise RequestError(
            "There is no GPU here that kernels run on, RTX 30 or newer; --gpu 4070 plans for one."
        )
    if not index:
        return usable[0] if usable else None
    if not index.isdecimal() or int(index) >= len(found):
        raise RequestError(
            f"There is no GPU '{device}'; the last one here is cuda:{len(found) - 1}."
        )
    return found[int(index)]
