"""The machine that a model would run on here, as it is now; torch-free."""

from collections.abc import Sequence

from localfp4.errors import RequestError
from localfp4.models.closable import programs_to_close
from localfp4.models.plan import Machine, cpu_machine, gpu_machine
from localfp4.telemetry.cards import card_of_device
from localfp4.telemetry.choice import best_gpu, choice_in_words, chosen_gpu, visible_gpus
from localfp4.telemetry.cpu import cpu_name
from localfp4.telemetry.gpus import Gpu, gpus
from localfp4.telemetry.holders import memory_holders
from localfp4.telemetry.memory import system_memory


def machine_here(device: str | None, *, held_bytes: int = 0) -> tuple[str, Machine]:
    """Return the name of a device of this computer, and what is free of it now.

    Args:
        device: A torch device string; ``None`` takes the best GPU, else the CPU.
        held_bytes: Memory of the device that would be given back first, and counts as free.

    Raises:
        RequestError: There is no such device.
    """
    on_cpu = device is not None and device.startswith("cpu")
    visible = [] if on_cpu else visible_gpus(gpus())
    chosen = None if on_cpu else _chosen(device, visible)
    memory = system_memory()
    if chosen is None:
        free = min(memory.available_bytes + held_bytes, memory.total_bytes)
        return cpu_name(), cpu_machine(free, memory.total_bytes)
    found = visible[chosen]
    was_asked_for = device is not None and ":" in device
    return found.name.removeprefix("NVIDIA "), gpu_machine(
        free_bytes=min(found.free_bytes + held_bytes, found.total_bytes),
        total_bytes=found.total_bytes,
        ram_bytes=memory.available_bytes,
        capability=found.capability,
        card=card_of_device(found.name, found.total_bytes),
        drives_display=found.drives_display,
        link=found.link,
        has_context=False,
        others=programs_to_close(memory_holders(found.uuid)),
        choice="" if was_asked_for else choice_in_words(visible, chosen),
    )


def _chosen(device: str | None, visible: Sequence[Gpu]) -> int | None:
    """Return which GPU is asked for, or the best one that kernels run on.

    Raises:
        RequestError: There is none.
    """
    if device is not None and device.partition(":")[0] != "cuda":
        raise RequestError(f"There is no device '{device}'; use cpu, cuda or cuda:0.")
    if device is not None and best_gpu(visible) is None:
        raise RequestError(
            "There is no GPU here that kernels run on, RTX 30 or newer; --gpu 4070 plans for one."
        )
    return chosen_gpu(device, visible)
