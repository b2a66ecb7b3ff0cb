"""Moves between the card's cache and main memory, as the engine orders them; torch-free."""

from dataclasses import dataclass

STATES = -1
"""The kind of an entry that holds states of recurrent layers; other kinds are groups of pages."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One page of a group, or one slot of states, that is copied.

    Attributes:
        kind: The group of a page, or :data:`STATES`.
        index: The page or slot on the card.
        blocks: Blocks of main memory, in the order in which they hold the bytes.
        to_card: Whether the card's side is written, as opposed to read.
    """

    kind: int
    index: int
    blocks: tuple[int, ...]
    to_card: bool
