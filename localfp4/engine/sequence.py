"""One request's tokens and pages while it lives in the engine; torch-free."""

from dataclasses import dataclass, field

from localfp4.config import SamplingParams
from localfp4.messages import FinishReason
from localfp4.runner.guide import Guide
from localfp4.runner.work import Collect, Draw


@dataclass(slots=True, eq=False)
class Sequence:
    """The state of one request.

    A step is planned before the tokens of the one before it are known, so that positions count
    as computed from the launch of their step on.

    Attributes:
        id: Of the request.
        tokens: Prompt and answer.
        prompt_len: How many tokens are prompt.
        max_len: Prompt and answer may grow to this length.
        sampling: How tokens are chosen.
        stop_ids: Tokens that end the answer.
        seed: Of the request's random numbers.
        collect: What to keep of every position of the prompt.
        collect_from: The first position of which scores are kept; what is before it need not be
            computed where it is in the cache.
        alternatives: How many tokens are named beside each that is scored.
        guide: What holds the answer to a form; it has accepted all of it that others follow on.
        background: Whether it waits for those that are not, and gives way to them.
        client: Who asked for it.
        awaits: Digest up to the end of a page that another sequence is computing, and that it waits
            for.
        pages: Of each KV group, its pages in the cache, in order; -1 for those that a window has
            passed.
        computed: Positions whose keys and values are in the cache.
        published: How many of its pages have been offered for reuse.
        digests: Of its full pages, each of everything up to the page's end.
        behind: Generated tokens before the newest that recurrent layers must take in again, after
            a guess was wrong.
        in_flight: Tokens that are being chosen and are not known yet.
        draw_index: Which draw of the step launched last its newest token in flight is.
        proposed: What the model itself guesses to follow.
        drafted: Guesses that have been checked.
        accepted: Those of them that were right.
        runs: How often it has lost its pages; tells whether those of a step are still its own.
        cached: Prompt tokens that did not have to be computed; ``None`` until it first runs.
        finished: Why it ended, once it has.
        slot: Where recurrent layers keep what it carries along, while it runs.
        rolling: Digest up to the page at whose end its answer's latest snapshot was taken, while it
            runs.
        draw: How its tokens are chosen, for the runner.
        needs_every_token: Whether the host must know all tokens before any more can be computed:
            penalties and guides depend on them, and what is collected is read after each step.
    """

    id: str
    tokens: list[int]
    prompt_len: int
    max_len: int
    sampling: SamplingParams
    stop_ids: frozenset[int]
    seed: int
    collect: Collect = Collect.NOTHING
    collect_from: int = 0
    alternatives: int = 0
    guide: Guide | None = None
    background: bool = False
    client: str = ""
    awaits: bytes | None = None
    pages: list[list[int]] = field(default_factory=list)
    computed: int = 0
    published: int = 0
    digests: list[bytes] = field(default_factory=list)
    behind: int = 0
    in_flight: int = 0
    draw_index: int = 0
    proposed: tuple[int, ...] = ()
    drafted: int = 0
    accepted: int = 0
    runs: int = 0
    cached: int | None = None
    finished: FinishReason | None = None
    slot: int | None = None
    rolling: bytes | None = None
    draw: Draw = field(init=False)
    needs_every_token: bool = field(init=False)

    def __post_init__(self) -> None:
        self.draw = Draw(self.sampling, self.tokens, self.prompt_len, self.seed, self.guide)
        self.needs_every_token = self._needs_every_token()

    @property
    def output_len(self) -> int:
        """Generated tokens, an end token included."""
        return len(self.tokens) - self.prompt_len

    @property
    def is_decoding(self) -> bool:
        """Whether only its newest, generated token is left to compute."""
        length = len(self.tokens) + self.in_flight
        return self.prompt_len < length == self.computed + self.behind + 1

    def append(self, token: int) -> None:
        """Add a generated token, and finish where it or the length demands it."""
        self.tokens.append(token)
        if token in self.stop_ids:
            self.finished = "stop"
        elif len(self.tokens) >= self.max_len:
            self.finished = "length"
        elif self.guide is not None:
            self.guide.accept(token)
            if self.guide.failure is not None:
                self.finished = "stop"

    def possible(self, drafts: tuple[int, ...]) -> tuple[int, ...]:
        """Return those guesses at the next tokens, from the first on, that a guide lets come."""
        if self.guide is None or not drafts:
            return drafts
        return drafts[: self.guide.allowed(drafts)]

    def end_collecting(self) -> None:
        """Keep nothing more of the prompt: all that was asked for is there."""
        self.collect = Collect.NOTHING
        self.needs_every_token = self._needs_every_token()

    def _needs_every_token(self) -> bool:
        params = self.sampling
        return (
            self.collect is not Collect.NOTHING
            or self.guide is not None
            or params.repetition_penalty != 1
            or bool(params.presence_penalty or params.frequency_penalty)
        )
