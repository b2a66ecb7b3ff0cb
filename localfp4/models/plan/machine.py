"""What a model is planned for: a device with some of its memory free."""

from dataclasses import dataclass

from localfp4.telemetry.cards import Card

DESKTOP_RESERVE = 2**30
"""Left free on a GPU that a desktop runs on: its windows grow, and a card that runs out of memory
slows down everything on it."""

_CPU_RESERVE = 0.1
"""Share of the free main memory that is left to other programs."""

_HOST_SHARE = 0.9
"""Share of the free main memory that weights may take which do not fit the card."""

FP8_CAPABILITY = 89
"""From Ada on the conversions of E4M3 are a machine instruction."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A device and the memory around it.

    Attributes:
        device: ``cpu`` or ``cuda``.
        free_bytes: What can be allocated on the device.
        total_bytes: All of its memory.
        reserve_bytes: The part of what is free that stays so.
        ram_bytes: Main memory that can be allocated, where the device is a GPU.
        capability: Compute capability times ten; ``None`` on a CPU.
        bandwidth: Of the device's memory in bytes a second; ``None`` where it is not known.
        link: From the main memory to the device; ``None`` where it is not known.
        has_context: Whether CUDA's own memory is already a part of what is not free.
        others: Names of programs that hold the device's memory and can be closed, largest first.
        choice: Which of several it is, and how to take another; empty where that is no question.
    """

    device: str
    free_bytes: int
    total_bytes: int
    reserve_bytes: int
    ram_bytes: int = 0
    capability: int | None = None
    bandwidth: float | None = None
    link: float | None = None
    has_context: bool = True
    others: tuple[str, ...] = ()
    choice: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether the device has memory of its own."""
        return self.device == "cuda"

    @property
    def room_bytes(self) -> int:
        """Memory of the device that models may take."""
        return max(self.free_bytes - self.reserve_bytes, 0)

    @property
    def host_room(self) -> int:
        """Main memory that weights may take which do not fit the card."""
        return int(self.ram_bytes * _HOST_SHARE) if self.is_gpu else 0

    @property
    def has_fast_fp8(self) -> bool:
        """Whether an 8-bit cache costs its kernels no time."""
        return self.capability is not None and self.capability >= FP8_CAPABILITY

    @property
    def others_bytes(self) -> int:
        """What other programs hold of the device."""
        return max(self.total_bytes - self.free_bytes, 0)

    @property
    def others_in_words(self) -> str:
        """Who that is, as far as it is known."""
        return ", ".join(self.others) or "other programs"


def cpu_machine(free_bytes: int, total_bytes: int) -> Machine:
    """Describe a computer without a GPU."""
    return Machine("cpu", free_bytes, total_bytes, int(free_bytes * _CPU_RESERVE))


def gpu_machine(
    *,
    free_bytes: int,
    total_bytes: int,
    ram_bytes: int,
    capability: int,
    card: Card | None,
    drives_display: bool | None,
    has_context: bool,
    link: float | None = None,
    others: tuple[str, ...] = (),
    choice: str = "",
) -> Machine:
    """Describe a GPU.

    Args:
        free_bytes: What can be allocated on it.
        total_bytes: All of its memory.
        ram_bytes: Main memory that can be allocated.
        capability: Compute capability times ten.
        card: Its line in the table of cards, if it has one.
        drives_display: Whether a desktop runs on it; ``None`` where that is not known.
        has_context: Whether this process has used CUDA before ``free_bytes`` was asked.
        link: Bytes a second from the main memory, where that is known better than by the card.
        others: Names of programs that hold its memory and can be closed, largest first.
        choice: Which of several it is, and how to take another.
    """
    return Machine(
        "cuda",
        free_bytes,
        total_bytes,
        0 if drives_display is False else DESKTOP_RESERVE,
        ram_bytes,
        capability,
        None if card is None else card.bandwidth,
        link or (None if card is None else card.link),
        has_context,
        others,
        choice,
    )


def card_machine(card: Card, ram_bytes: int) -> Machine:
    """Describe a card that is not here, with nothing else on it than a desktop's reserve."""
    return gpu_machine(
        free_bytes=card.memory_bytes,
        total_bytes=card.memory_bytes,
        ram_bytes=ram_bytes,
        capability=card.capability,
        card=card,
        drives_display=card.drives_display,
        has_context=False,
    )
