"""Which row of a step belongs to whom; torch-free."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.config import PAGE_SIZE
from localfp4.runner.work import Collect, Draw, Work


@dataclass(frozen=True, slots=True)
class Bucket:
    """A size that steps which only decode are padded to.

    Rows of recurrent models come in rounds, so that it matters how many there are per sequence. To
    all others, each row is a sequence of its own.

    Attributes:
        sequences: How many there are room for.
        rows: Of each.
        pages: Width of the block tables: those of the longest sequence there can be.
    """

    sequences: int
    rows: int
    pages: int

    @property
    def size(self) -> int:
        """Rows in all."""
        return self.sequences * self.rows


@dataclass(slots=True)
class DrawnRow:
    """A row after which a token is drawn; not frozen, like :class:`Work`.

    Attributes:
        draw: How.
        row: In the step.
        position: In the sequence, of the token that is drawn.
        drafts: Guesses between the tokens that ``draw`` knows and that position.
        follows: Index of the draw of the step before that comes before those guesses, where its
            outcome is not known to the host.
    """

    draw: Draw
    row: int
    position: int
    drafts: tuple[int, ...] = ()
    follows: int | None = None


def first_rows(work: Sequence[Work], bucket: Bucket | None = None) -> list[int]:
    """Return each item's first row; the items follow each other, in rounds of a padded bucket."""
    if bucket is not None and bucket.rows > 1:
        return [place * bucket.rows for place in range(len(work))]
    sizes = [item.end - item.start + len(item.drafts) for item in work]
    return [0, *itertools.accumulate(sizes[:-1])] if sizes else []


def rows_of(item: Work) -> int:
    """Return how many rows an item has."""
    return item.end - item.start + len(item.drafts)


def drawn_rows(
    work: Sequence[Work], firsts: Sequence[int], known: Sequence[int] = ()
) -> list[DrawnRow]:
    """Return the rows after which tokens are drawn, item by item.

    Args:
        work: The step.
        firsts: Each item's first row.
        known: The draws of the step before, as far as the host knows them.
    """
    rows: list[DrawnRow] = []
    for item, first in zip(work, firsts, strict=True):
        if item.draw is None:
            continue
        end, follows = item.end, item.follows
        guesses: tuple[int, ...] = ()
        row = first + end - item.start - 1
        if follows is not None and follows < len(known):
            guesses, follows = (known[follows],), None
        rows.append(DrawnRow(item.draw, row, end, guesses, follows))
        for count in range(1, len(item.drafts) + 1):
            rows.append(DrawnRow(item.draw, row + count, item.end + count, item.drafts[:count]))
    return rows


def pages_for(tokens: int) -> int:
    """Return how many pages so many tokens need."""
    return -(-tokens // PAGE_SIZE)


def is_pure_decode(work: Sequence[Work]) -> bool:
    """Whether nothing but the newest tokens of sequences is processed, and nothing collected."""
    return all(item.is_decode and item.collect is Collect.NOTHING for item in work)
