"""What the engine asks of the runner in one step; torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from localfp4.config import SamplingParams
from localfp4.runner.guide import Guide


class Collect(Enum):
    """What to keep of every position of a prompt, beside the next token."""

    NOTHING = auto()
    LOGITS = auto()
    SCORES = auto()


@dataclass(frozen=True, slots=True)
class Draw:
    """What choosing one token depends on, and nothing of its neighbours.

    Attributes:
        params: Sampling parameters.
        tokens: The whole sequence so far.
        prompt_len: How many of those are prompt.
        seed: Of the request's random numbers. The one that decides the token at a position is a
            function of both, whatever step it is drawn in.
        guide: What restricts the answer; it has accepted all of it that is in ``tokens``.
    """

    params: SamplingParams
    tokens: Sequence[int]
    prompt_len: int
    seed: int
    guide: Guide | None = None


@dataclass(slots=True)
class Work:
    """One sequence's share of a step.

    Nobody changes it. It is not frozen since one is made per sequence and step, and would take eight
    times as long.

    Attributes:
        tokens: The whole sequence so far.
        start: Position of the first token to process.
        end: Position after the last one.
        pages: For each KV group, the sequence's pages in order, covering all that is processed; -1
            for those that a window has passed.
        is_decode: Whether these are the newest generated tokens, as opposed to a chunk of prompt:
            one, or a few where a recurrent state was wound back.
        draw: How to choose the token after ``end``; ``None`` while the prompt goes on, and where
            nothing is generated.
        collect: What to keep of each processed position.
        slot: Where recurrent layers keep what the sequence carries along; ``None`` for models
            without such layers.
        restore: The slot of a snapshot that is copied into ``slot`` before the step. Copies are
            made in the order of the work, so that a slot may be one item's source and a later
            one's ``slot``.
        snapshot: The slot that ``slot`` is copied into after the step.
        drafts: Guesses for the tokens after ``tokens[end - 1]``, of a decoding sequence. They are
            processed too, and a token is drawn after each.
        follows: The token at ``end - 1`` is not known to the host: it is the draw with this index
            of the step that was launched before, and ``tokens`` ends before it.
        propose: How many drafts a head for multi-token prediction or a draft model shall make for
            the tokens after those that the step brings.
        collect_from: The first position of which scores are kept.
        alternatives: How many tokens are named beside each that is scored.
    """

    tokens: Sequence[int]
    start: int
    end: int
    pages: Sequence[Sequence[int]]
    is_decode: bool
    draw: Draw | None
    collect: Collect = Collect.NOTHING
    slot: int | None = None
    restore: int | None = None
    snapshot: int | None = None
    drafts: tuple[int, ...] = ()
    follows: int | None = None
    propose: int = 0
    collect_from: int = 0
    alternatives: int = 0
