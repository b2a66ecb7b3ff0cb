"""One fact in a long text, at several depths: what a model finds again."""

import random
from collections.abc import Iterator, Sequence

from localfp4.evaluate.long_context import LongContext, Puzzle, long_context
from localfp4.evaluate.scorer import Scorer

TASK = "needle"

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the fact stands, from the beginning of the text to its end."""

TOWNS = ("Bergen", "Cadiz", "Delft", "Genoa", "Lisbon", "Malmo", "Porto", "Turin")

_CODES = 4


def needles(
    scorer: Scorer,
    lengths: Sequence[int],
    depths: Sequence[float] = DEPTHS,
    each: int = 4,
    seed: int = 0,
) -> Iterator[LongContext]:
    """Yield contexts that tell the codes of four archives, one of them at a given depth.

    The others stand anywhere and are what the right one is told from, as in RULER
    (arXiv:2404.06654): to know that a code is asked for is not enough.

    Args:
        scorer: The model, whose tokens are counted.
        lengths: Tokens of the contexts.
        depths: Where the fact stands that is asked for, from 0 to 1.
        each: How many contexts for each length and depth.
        seed: Of the codes and sentences.

    Raises:
        EvaluationError: A length does not fit the model, or the facts do not fit a length.
    """
    for length in lengths:
        for depth in depths:
            for number in range(each):
                name = f"{length}/{100 * depth:g}%/{number}"
                chance = random.Random(f"{seed} {name}")
                places, puzzle = _hidden(chance, depth)
                yield long_context(scorer, name, puzzle, length, places, chance.getrandbits(32))


def _hidden(chance: random.Random, depth: float) -> tuple[list[float], Puzzle]:
    """Return where facts stand, in order, and the facts with a question about that at a depth."""
    towns = chance.sample(TOWNS, _CODES)
    codes = [str(code) for code in chance.sample(range(100_000, 1_000_000), _CODES)]
    places = [depth, *(chance.random() for _ in towns[1:])]
    told = sorted(zip(places, towns, codes, strict=True))
    return [place for place, _, _ in told], Puzzle(
        facts=tuple(f"The code of the archive in {town} is {code}." for _, town, code in told),
        question=f"What is the code of the archive in {towns[0]}?",
        answer=f"The code of the archive in {towns[0]} is",
        choices=tuple(codes),
    )
