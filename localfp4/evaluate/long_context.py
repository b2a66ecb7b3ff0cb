"""Questions about facts that lie far back in a long made-up text.

Contexts are made of a few hundred plain sentences in random order with facts between them. They
show what a KV cache forgets: its formats differ little on short text.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from localfp4.errors import EvaluationError
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.records import Items, Result, Subject
from localfp4.evaluate.scorer import Scorer

_WHO = (
    "The baker", "A ferryman", "The old gardener", "Our neighbour", "The night guard", "A tailor",
    "The teacher", "A young nurse", "The miller", "The postman", "A violinist", "The shepherd",
)  # fmt: skip
_DID = (
    "walked along the river", "waited for the rain to end", "mended the garden fence",
    "counted the boats in the harbour", "read the paper by the window", "lit a lamp in the hall",
    "carried wood up the hill", "washed the blue cups", "spoke with the miller's cat",
    "planted beans behind the barn", "closed the shutters", "drew a map of the island",
)  # fmt: skip
_WHEN = (
    "before breakfast", "after the storm", "on the last day of May", "while the others slept",
    "as every winter", "when the bells rang", "without saying a word", "for the second time",
)  # fmt: skip

_MOST_ANSWER_TOKENS = 48

_ASKS = "Answer:"


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Facts to hide, and what is asked about them.

    Attributes:
        facts: Sentences, in the order in which they stand in the text.
        question: What is asked.
        answer: The beginning of the sentence that answers, up to what has to be known.
        choices: Ends of that sentence; the first is right.
    """

    facts: tuple[str, ...]
    question: str
    answer: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LongContext:
    """A text with facts in it, as tokens.

    Attributes:
        id: What it is called.
        length: Tokens that it was made for.
        prompt: Token ids up to where the answer begins.
        puzzle: What is asked.
    """

    id: str
    length: int
    prompt: tuple[int, ...]
    puzzle: Puzzle


def filler(seed: int) -> Iterator[str]:
    """Yield sentences without end; each is said once before any is said again."""
    sentences = [f"{who} {did} {when}." for who, did, when in product(_WHO, _DID, _WHEN)]
    chance = random.Random(seed)
    while True:
        chance.shuffle(sentences)
        yield from sentences


def long_context(
    scorer: Scorer, name: str, puzzle: Puzzle, length: int, places: Sequence[float], seed: int
) -> LongContext:
    """Hide the facts of a puzzle in a text of nearly some length.

    Args:
        scorer: The model, whose tokens are counted.
        name: What to call it.
        puzzle: The facts, and the question.
        length: Most tokens, those of the answer among them.
        places: Where each fact stands, from 0 for the beginning to 1 for the end.
        seed: Of the sentences around them.

    Raises:
        EvaluationError: The model's context is shorter, or so short a text cannot hold the facts.
    """
    if length > scorer.context_tokens:
        raise EvaluationError(
            f"Contexts of {length:,} tokens do not fit the {scorer.context_tokens:,} of the model; "
            "ask for shorter ones, or load it with a longer --ctx."
        )
    room = length - _MOST_ANSWER_TOKENS
    sentences = filler(seed)
    around: list[str] = []
    # The first guess assumes short sentences; what is too long is then shortened by its share.
    around.extend(next(sentences) for _ in range(room // 6))
    while len(prompt := _prompt(scorer, _told(around, puzzle.facts, places), puzzle)) > room:
        if not around:
            raise EvaluationError(
                f"A context of {length:,} tokens is too short for the {len(prompt):,} of the "
                "question and its facts; ask for a longer one."
            )
        share = len(around) * (len(prompt) - room) / len(prompt)
        del around[max(0, len(around) - 1 - int(share)) :]
    return LongContext(name, length, tuple(prompt), puzzle)


def answer_long_contexts(
    scorer: Scorer,
    subject: Subject,
    task: str,
    contexts: Sequence[LongContext],
) -> Iterator[Found]:
    """Yield progress, the share of right answers for each length, and the items.

    The answer is the one that the model finds likeliest, so that it need not follow instructions.

    Args:
        scorer: The model.
        subject: What to call it.
        task: What to call the questions; figures are of ``task@length``.
        contexts: What is asked.
    """
    right: dict[int, dict[str, float]] = defaultdict(dict)
    for done, one in enumerate(contexts, 1):
        right[one.length][one.id] = float(_prefers_it(scorer, one))
        yield Progress(f"{task}@{one.length}", done, len(contexts))
    for length, found in right.items():
        name, share = f"{task}@{length}", sum(found.values()) / len(found)
        error = (share * (1 - share) / (len(found) - 1)) ** 0.5 if len(found) > 1 else None
        yield Result(subject.model, subject.format, name, "accuracy", share, error)
        yield Items(
            subject.model, subject.format, name, "accuracy", tuple(found), tuple(found.values())
        )


def _told(around: Sequence[str], facts: Sequence[str], places: Sequence[float]) -> str:
    lines = [*around]
    # From the last on, so that the places of those before it stay what they are.
    for fact, place in reversed([*zip(facts, places, strict=True)]):
        lines.insert(round(place * len(around)), fact)
    return "\n".join(lines)


def _prompt(scorer: Scorer, text: str, puzzle: Puzzle) -> list[int]:
    asked = f"{text}\n\nQuestion: {puzzle.question}\n{_ASKS}"
    start = [] if scorer.start_token is None else [scorer.start_token]
    return [*start, *scorer.encode(asked)]


def _prefers_it(scorer: Scorer, one: LongContext) -> bool:
    """Say whether the right end of the answer is likelier than every other."""
    # Encoded behind the prompt's last words: alone, some tokenizers put a space before it.
    words = len(scorer.encode(_ASKS))
    texts = [f"{_ASKS} {one.puzzle.answer} {choice}." for choice in one.puzzle.choices]
    first, *rest = ((*one.prompt, *scorer.encode(text)[words:]) for text in texts)
    # The first alone, so that the prompt is in the cache for the others.
    scores = [
        *scorer.scores([first], [len(one.prompt)]),
        *scorer.scores(rest, [len(one.prompt)] * len(rest)),
    ]
    likely = [sum(each.logprobs) for each in scores]
    return likely[0] > max(likely[1:])
