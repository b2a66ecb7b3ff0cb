"""Measuring the loaded model through its backend; no widgets.

Prompts are random token ids, other ones each time: a prompt that was seen before would be read
from the prefix cache, and prefill seem faster than it is.
"""

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from threading import Event
from time import monotonic

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.messages import Delta, Failed, Finished, ModelInfo, Request, Started
from localfp4_tui.backend import Backend

PROMPT_TOKENS, OUTPUT_TOKENS, REPEATS = 512, 128, 5
"""As ``pp512`` and ``tg128`` of llama-bench, which repeats five times."""

BUDGET_S = 30.0
"""No run is begun that would end later than this; one is, whatever it takes."""

_WARM_UP = 32, 8
_LEAST = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """Tokens of a run: of its prompt, and those it generates."""

    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the measurement has come.

    Attributes:
        run: Which run is going on, from 1; 0 is to warm up.
        tokens: Generated in it so far.
        shape: What it does.
    """

    run: int
    tokens: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took."""

    shape: Shape
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    ttft_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation; the latter is ``None`` of a single figure."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Work both out."""
        return cls(fmean(figures), stdev(figures) if len(figures) > 1 else None)


class Bench:
    """One measurement. :meth:`run` blocks; :meth:`cancel` may be called from another thread."""

    def __init__(
        self, backend: Backend, info: ModelInfo, *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Decide what to measure.

        Raises:
            RequestError: The model cannot be asked with token ids, or its context is too short.
        """
        room = min(info.max_model_len, info.kv_cache_tokens)
        if info.vocab_size < 1:
            raise RequestError("The size of the model's vocabulary is not known.")
        if room < 4 * _LEAST:
            raise RequestError(f"A context of {room} tokens is too short to measure anything.")
        output = min(OUTPUT_TOKENS, room // 4)
        self._full = Shape(min(PROMPT_TOKENS, room - output - 1), output)
        self._vocab_size = info.vocab_size
        self._backend = backend
        self._clock = clock
        self._random = random.Random()
        self._name = f"bench-{self._random.getrandbits(48):x}"
        self._request_id = ""
        self._cancelled = Event()

    def run(self) -> Iterator[Progress | Run]:
        """Warm up and measure as often as there is time, yielding progress and results.

        Raises:
            RequestError: The engine refused a prompt.
            EngineDiedError: The engine ended.
        """
        began_s = self._clock()
        warm_up = yield from self._once(0, Shape(*_WARM_UP))
        if warm_up is None:
            return
        shape = sized(self._full, warm_up)
        for number in range(1, REPEATS + 1):
            run = yield from self._once(number, shape)
            if run is None:
                return
            yield run
            if self._clock() - began_s + run.duration_s > BUDGET_S:
                return

    def cancel(self) -> None:
        """End :meth:`run` soon, without a result of the run under way."""
        self._cancelled.set()
        if request_id := self._request_id:
            self._backend.cancel(request_id)

    def _once(self, number: int, shape: Shape) -> Generator[Progress, None, "Run | None"]:
        if self._cancelled.is_set():
            return None
        self._request_id = f"{self._name}-{number}"
        tokens = 0
        yield Progress(number, tokens, shape)
        for event in self._backend.stream(self._request(shape)):
            match event:
                case Started() if self._cancelled.is_set():  # that overtook the request
                    self._backend.cancel(self._request_id)
                case Delta():
                    tokens += len(event.token_ids)
                    yield Progress(number, tokens, shape)
                case Failed():
                    raise RequestError(event.message)
                case Finished():
                    self._request_id = ""
                    return _measured(shape, event) if event.reason != "cancelled" else None
        return None

    def _request(self, shape: Shape) -> Request:
        ids = (self._random.randrange(self._vocab_size) for _ in range(shape.prompt_tokens))
        sampling = SamplingParams(temperature=0.0, max_tokens=shape.output_tokens, ignore_eos=True)
        return Request(self._request_id, token_ids=tuple(ids), sampling=sampling)


def sized(full: Shape, warm_up: Run) -> Shape:
    """Shorten what is measured where a run would take more than a third of the time there is."""
    most_s = BUDGET_S / 6
    prompt = round(warm_up.prefill_tokens_per_s * most_s)
    output = round(warm_up.decode_tokens_per_s * most_s)
    return Shape(
        min(full.prompt_tokens, max(prompt, _LEAST)), min(full.output_tokens, max(output, _LEAST))
    )


def _measured(shape: Shape, finished: Finished) -> Run:
    computed = finished.prompt_tokens - finished.cached_tokens
    return Run(
        shape,
        prefill_tokens_per_s=computed / finished.ttft_s if finished.ttft_s else 0.0,
        decode_tokens_per_s=finished.decode_tokens_per_s,
        ttft_s=finished.ttft_s,
        duration_s=finished.duration_s,
    )
