"""A program that holds memory of a graphics card."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """A process and what it holds.

    Attributes:
        pid: Its number.
        name: Of its program, without folder and ``.exe``; empty where it may not be asked.
        used_bytes: Memory of the card; ``None`` where the driver does not tell.
    """

    pid: int
    name: str
    used_bytes: int | None
