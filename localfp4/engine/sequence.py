"""One request's tokens and pages while it lives in the engine; torch-free."""

from dataclasses import dataclass, field

from localfp4.config import SamplingParams
from localfp4.messages import FinishReason
from localfp4.runner.work import Collect


@dataclass(slots=True, eq=False)
class Sequence:
    """The state of one request.

    Attributes:
        id: Of the request.
        tokens: Prompt and answer.
        prompt_len: How many tokens are prompt.
        max_len: Prompt and answer may grow to this length.
        sampling: How tokens are chosen.
        stop_ids: Tokens that end the answer.
        seed: Of the request's random numbers.
        collect: What to keep of every position of the prompt.
        pages: Its pages in the KV cache, in order.
        computed: Tokens whose keys and values are in the cache.
        cached: Prompt tokens that did not have to be computed; ``None`` until it first runs.
        finished: Why it ended, once it has.
        slot: Where recurrent layers keep what it carries along, while it runs.
        rolling: The page at whose end its answer's latest snapshot was taken, while it runs.
    """

    id: str
    tokens: list[int]
    prompt_len: int
    max_len: int
    sampling: SamplingParams
    stop_ids: frozenset[int]
    seed: int
    collect: Collect = Collect.NOTHING
    pages: list[int] = field(default_factory=list)
    computed: int = 0
    cached: int | None = None
    finished: FinishReason | None = None
    slot: int | None = None
    rolling: int | None = None

    @property
    def output_len(self) -> int:
        """Generated tokens, an end token included."""
        return len(self.tokens) - self.prompt_len

    @property
    def is_decoding(self) -> bool:
        """Whether only its newest, generated token is left to compute."""
        return self.output_len > 0 and self.computed == len(self.tokens) - 1

    def append(self, token: int) -> None:
        """Add a generated token, and finish where it or the length demands it."""
        self.tokens.append(token)
        if token in self.stop_ids:
            self.finished = "stop"
        elif len(self.tokens) >= self.max_len:
            self.finished = "length"
