"""Facts that lean on each other, spread over a long text: what a model can put together."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from localfp4.evaluate.long_context import LongContext, Puzzle, long_context
from localfp4.evaluate.needle import TOWNS
from localfp4.evaluate.scorer import Scorer

TASK = "multi_hop"

MOST_HOPS = 5

_NAMES = (
    "Ada", "Bert", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla",
    "Leo", "Marta", "Nils", "Olga", "Paul", "Rosa", "Simon", "Tilda", "Udo", "Vera", "Willem",
    "Yara", "Zeno",
)  # fmt: skip

_CHAINS = 4


def multi_hops(
    scorer: Scorer, lengths: Sequence[int], hops: int = 2, each: int = 20, seed: int = 0
) -> Iterator[LongContext]:
    """Yield contexts in which people live where other people live, in any order.

    Of four chains of people the first of each lives in a town; where the last of one lives is asked
    for. Needles say little of a KV cache in few bits, since a model finds one fact by its words;
    each hop has to be found by what another said.

    Args:
        scorer: The model, whose tokens are counted.
        lengths: Tokens of the contexts.
        hops: How many facts lead from who is asked for to who lives in a town, 1 to 5.
        each: How many contexts of each length.
        seed: Of the names, towns and sentences.

    Raises:
        ValueError: There are not so many names.
        EvaluationError: A length does not fit the model, or the facts do not fit a length.
    """
    if not 1 <= hops <= MOST_HOPS:
        raise ValueError(f"hops must be from 1 to {MOST_HOPS}, not {hops}")
    for length in lengths:
        for number in range(each):
            name = f"{length}/{hops} hops/{number}"
            chance = random.Random(f"{seed} {name}")
            puzzle = _puzzle(chance, hops)
            places = sorted(chance.random() for _ in puzzle.facts)
            yield long_context(scorer, name, puzzle, length, places, chance.getrandbits(32))


def _puzzle(chance: random.Random, hops: int) -> Puzzle:
    towns = chance.sample(TOWNS, _CHAINS)
    names = chance.sample(_NAMES, _CHAINS * (hops + 1))
    chains = [names[at : at + hops + 1] for at in range(0, len(names), hops + 1)]
    facts = [f"{chain[0]} lives in {town}." for chain, town in zip(chains, towns, strict=True)]
    for chain in chains:
        facts += [f"{who} lives in the same town as {whom}." for whom, who in pairwise(chain)]
    chance.shuffle(facts)
    asked = chains[0][-1]
    return Puzzle(
        facts=tuple(facts),
        question=f"In which town does {asked} live?",
        answer=f"{asked} lives in",
        choices=tuple(towns),
    )
