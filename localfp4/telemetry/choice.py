"""Which GPU a model goes to where there are several, and how CUDA counts them; torch-free."""

import os
from collections.abc import Mapping, Sequence

from localfp4.errors import RequestError
from localfp4.telemetry.cards import card_of_device
from localfp4.telemetry.gpus import Gpu, gpu_with_uuid

OLDEST_CAPABILITY = 80
"""Compute capability, times ten, that kernels need."""


def count_as_nvidia_smi() -> None:
    """Let CUDA count this process's GPUs by their place on the bus, as the driver's tools do.

    By itself it counts what it takes for the fastest first. A user's own choice stays, and so does
    an order that CUDA has begun to use.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


def visible_gpus(found: Sequence[Gpu], environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Return the GPUs that CUDA shows to programs, in its order: the first is ``cuda:0``.

    ``CUDA_VISIBLE_DEVICES`` lists numbers, beginnings of UUIDs, and UUIDs of parts of a card (MIG);
    what follows a word that means none is hidden, and so is everything where one is named twice
    (CUDA C++ Programming Guide, "CUDA Environment Variables").

    Args:
        found: All, in the order of ``nvidia-smi``, which numbers are counted in.
        environ: The environment.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return list(found)
    visible: list[Gpu] = []
    for word in listed.split(","):
        gpu = _meant(word.strip(), found)
        if gpu is None:
            break
        if gpu in visible:
            return []
        visible.append(gpu)
    return visible


def best_gpu(found: Sequence[Gpu]) -> Gpu | None:
    """Return the GPU that models do best on; ``None`` where kernels run on none.

    The largest model that fits counts first, then how fast it answers. So what decides is, in this
    order: memory, in GiB as it is sold; how fast that is read, where the card is known; compute
    capability; that no display is on it; what is free now; the first place on the bus.
    """
    usable = [gpu for gpu in found if gpu.capability >= OLDEST_CAPABILITY]
    return max(usable, key=_rank, default=None)


def chosen_gpu(device: str | None, visible: Sequence[Gpu]) -> int | None:
    """Return which GPU a device string means, counted from 0; ``None`` where there is none.

    Args:
        device: Such as ``cuda:1``; ``cuda`` and ``None`` take the best one.
        visible: The GPUs in CUDA's order.

    Raises:
        RequestError: It names one that is not there.
    """
    number = (device or "cuda").partition(":")[2]
    if not number:
        best = best_gpu(visible)
        return None if best is None else visible.index(best)
    if not number.isdecimal():
        raise RequestError(f"There is no device '{device}'; use cpu, cuda or cuda:0.")
    if int(number) >= len(visible):
        there = f"the last one here is cuda:{len(visible) - 1}" if visible else "none is here"
        raise RequestError(f"There is no GPU '{device}'; {there}.")
    return int(number)


def choice_in_words(visible: Sequence[Gpu], chosen: int) -> str:
    """Name the GPU that was chosen, and how to take another; empty where there is no other.

    Args:
        visible: The GPUs in CUDA's order.
        chosen: Which of them.
    """
    others = [f"cuda:{index}" for index in range(len(visible)) if index != chosen]
    if not others:
        return ""
    name = visible[chosen].name.removeprefix("NVIDIA ")
    if sum(gpu.name == visible[chosen].name for gpu in visible) > 1:
        name = f"{name} (cuda:{chosen})"
    takes = "takes the other" if len(others) == 1 else "takes another"
    return f"{name}, the best of {len(visible)}; --device {' or '.join(others)} {takes}"


def _meant(word: str, found: Sequence[Gpu]) -> Gpu | None:
    if word.isdecimal():
        return next((gpu for gpu in found if gpu.index == int(word)), None)
    if word.startswith("MIG-"):
        return gpu_with_uuid(word)
    return next((gpu for gpu in found if word and gpu.uuid.startswith(word)), None)


def _rank(gpu: Gpu) -> tuple[int, float, int, bool, int, int]:
    card = card_of_device(gpu.name, gpu.total_bytes)
    return (
        round(gpu.total_bytes / 2**30),
        0.0 if card is None else card.bandwidth,
        gpu.capability,
        not gpu.drives_display,
        gpu.free_bytes,
        -gpu.index,
    )
