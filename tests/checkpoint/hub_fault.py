"""What can go wrong with an answer of the fake hub."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer to a request for a file.

    ``status`` is an error's. ``after`` ends the answer after so many bytes, by closing the connection
    or, if it ``stalls``, by sending no more. ``flips`` changes the byte at a place. ``page`` sends a
    page of a proxy instead; ``zips`` compresses; ``extra`` bytes follow the file. ``ignores_range``
    sends all of it, and ``off_by`` tells of another range than was asked for.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    stalls: bool = False
    flips: int | None = None
    page: bool = False
    zips: bool = False
    extra: int = 0
    tells_length: bool = True
    ignores_range: bool = False
    off_by: int = 0

    def spoilt(self, data: bytes) -> bytes:
        """Return the content with the changed byte."""
        if self.flips is None:
            return data
        changed = bytearray(data)
        changed[self.flips] ^= 1
        return bytes(changed)
