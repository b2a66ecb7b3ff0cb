"""The graphics cards: whether kernels run on them, what they are connected by, who holds them."""

from collections.abc import Iterator

from localfp4.doctor.checks.words import gib, listed, short_name
from localfp4.doctor.facts import Facts, GpuFacts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.versions import is_usable
from localfp4.models.closable import DESKTOP
from localfp4.telemetry.cards import link_bytes_per_s

_MUCH_HELD = 3 / 2 * 2**30
"""A desktop without a game or a browser in front holds less."""

_FEW_LANES = 4
"""A card's slot is wired with 16 or 8; 4 is a slot for other devices, or a cable."""


def card_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of every card."""
    for gpu in facts.gpus:
        yield from _card(gpu, has_several=len(facts.gpus) > 1)
    if len(facts.gpus) > 1 and not any(gpu.is_chosen for gpu in facts.gpus):
        yield Finding("card-choice", "card", "note", "localfp4 takes none of these by itself")


def _card(gpu: GpuFacts, *, has_several: bool) -> Iterator[Finding]:
    name = short_name(gpu.name)
    if not is_usable(gpu.capability):
        yield Finding(
            "card",
            "card",
            "note" if has_several else "warning",
            f"{name} (sm_{gpu.capability}) is older than the kernels need",
            "They are written for RTX 30 (sm_86) and newer; models run on the processor.",
        )
        return
    chosen = ", chosen" if has_several and gpu.is_chosen else ""
    yield Finding(
        "card",
        "card",
        "ok",
        f"{name} (sm_{gpu.capability}), {gib(gpu.total_bytes)}, {gib(gpu.free_bytes)} free{chosen}",
    )
    yield from _exclusive(gpu)
    if gpu.is_chosen or not has_several:
        yield from _held(gpu)
        yield from _link(gpu)
        yield from _bar(gpu)


def _exclusive(gpu: GpuFacts) -> Iterator[Finding]:
    if gpu.is_exclusive:
        yield Finding(
            "card-mode",
            "card",
            "warning",
            f"{short_name(gpu.name)} is set so that not every program may compute on it",
            "Where another one does, or none may, loading a model fails.",
            (
                Remedy(
                    "As administrator:",
                    (("nvidia-smi", "-i", str(gpu.index), "-c", "DEFAULT"),),
                ),
            ),
        )


def _held(gpu: GpuFacts) -> Iterator[Finding]:
    held = gpu.total_bytes - gpu.free_bytes
    if held < _MUCH_HELD:
        return
    names = dict.fromkeys(holder.name for holder in gpu.holders)
    first = [name for name in names if name and name.lower() not in DESKTOP][:3]
    yield Finding(
        "card-memory",
        "card",
        "warning",
        f"Other programs hold {gib(held)} of the {gib(gpu.total_bytes)} of {short_name(gpu.name)}",
        "Models and their context get what is left.",
        (
            Remedy(f"Close {listed(first)}." if first else "Close games, browsers and the like."),
            Remedy("Who holds what:", (("localfp4", "doctor", "--vram"),)),
        ),
    )


def _link(gpu: GpuFacts) -> Iterator[Finding]:
    lanes, most = gpu.pcie_lanes, gpu.most_pcie_lanes
    if not lanes or not most or lanes >= most:
        return
    rate = ""
    if gpu.most_pcie_generation:
        link = link_bytes_per_s(gpu.most_pcie_generation, lanes)
        rate = f", {link / 1e9:.0f} GB/s with PCIe {gpu.most_pcie_generation}"
    move = Remedy(
        "Move the card to the slot next to the processor, and look in the board's manual which "
        "other slots take lanes from it."
    )
    is_laptop = "laptop" in gpu.name.lower()
    yield Finding(
        "card-link",
        "card",
        "warning" if lanes <= _FEW_LANES and not is_laptop else "note",
        f"{short_name(gpu.name)} is connected by {lanes} of its {most} PCIe lanes{rate}",
        "Loading, and models that lie in part in main memory, are as slow as this link.",
        () if is_laptop else (move,),
    )


def _bar(gpu: GpuFacts) -> Iterator[Finding]:
    # A window of 256 MiB without it; the driver's reserve makes the whole a little smaller.
    if gpu.bar1_bytes is None or gpu.bar1_bytes * 2 > gpu.total_bytes:
        return
    yield Finding(
        "card-bar",
        "card",
        "note",
        f"Resizable BAR is off: the processor sees {gpu.bar1_bytes / 2**20:.0f} MiB of "
        f"{short_name(gpu.name)} at a time",
        "Copies to the card do not pass through this window: games gain from it, models hardly.",
        (
            Remedy(
                "Switch on Resizable BAR and Above 4G Decoding in the firmware, where it has them."
            ),
        ),
    )
