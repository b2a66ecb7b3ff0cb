"""What an evaluation tells while it runs; stdlib only."""

from collections.abc import Callable
from dataclasses import dataclass

from localfp4.evaluate.records import Items, Result


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        stage: What happens, such as ``wikitext``.
        done: Steps that are done, of ``total``.
        total: All steps.
    """

    stage: str
    done: int
    total: int


Tell = Callable[[Progress], None]
"""Told how far it is, by what returns only when all is done."""

Found = Progress | Result | Items
"""What comes out of an evaluation, as soon as it is known."""
