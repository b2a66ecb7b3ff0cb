"""Driving an engine by hand: random requests, what their events told, and answers compared."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.engine import Engine, load_engine
from localfp4.messages import Delta, Event, Failed, Finished, PromptScored, Request, Started
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampler import sample
from localfp4.runner.work import Collect, Draw

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)


def load(config: EngineConfig) -> Engine:
    loading = load_engine(config)
    while True:
        try:
            next(loading)
        except StopIteration as done:
            engine: Engine = done.value
            return engine


@dataclass
class Outcome:
    """What the events told of one request."""

    started: Started | None = None
    scored: PromptScored | None = None
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    finished: Finished | None = None
    failed: Failed | None = None

    def add(self, event: Event) -> None:
        assert self.finished is None
        assert self.failed is None
        match event:
            case Started():
                assert self.started is None
                self.started = event
            case PromptScored():
                assert self.started is not None
                assert self.scored is None
                assert not self.token_ids, "a prompt's scores come before the answer"
                self.scored = event
            case Delta():
                assert self.started is not None
                self.token_ids += event.token_ids
                self.text += event.text
            case Finished():
                self.finished = event
            case Failed():
                self.failed = event


def run(
    engine: Engine,
    requests: Iterable[Request],
    before_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Outcome]:
    """Run requests together; ``before_step`` may add, cancel or spoil something."""
    outcomes: dict[str, Outcome] = {}
    for request in requests:
        engine.add(request)
    step = 0
    while engine.has_work():
        before_step(step)
        for event in engine.step():
            outcomes.setdefault(event.id, Outcome()).add(event)
        engine.check_pages()
        step += 1
    assert engine.stats().kv_used_tokens == 0
    return outcomes


def answer(engine: Engine, prompt: list[int], params: SamplingParams = GREEDY) -> Outcome:
    return run(engine, [Request("one", token_ids=tuple(prompt), sampling=params)])["one"]


def random_tokens(seed: int, length: int) -> list[int]:
    stream = random.Random(seed)
    return [stream.randrange(256) for _ in range(length)]


def last_logits(engine: Engine, tokens: list[int]) -> torch.Tensor:
    """Return ``[1, V]``, the logits after ``tokens``."""
    engine.add(Request("logits", token_ids=tuple(tokens)), Collect.LOGITS)
    while engine.has_work():
        engine.step()
    chunk = engine.take_collected("logits")[-1]
    assert chunk.logits is not None
    return chunk.logits[-1:]


def is_tie(engine: Engine, request: Request, answer: list[int], other: list[int]) -> bool:
    """Whether two answers part at a choice so close that rounding decides it.

    Greedy: the two tokens' logits lie within 1e-3. Sampled: noise of 1e-4 on the logits draws
    either.
    """
    place = next(n for n, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b)
    prompt = list(request.token_ids or ())
    tokens, params = prompt + answer[:place], request.sampling
    logits = last_logits(engine, tokens)
    if params.temperature == 0:
        return bool((logits[0, answer[place]] - logits[0, other[place]]).abs() <= 1e-3)
    noise = torch.randn(32, logits.shape[1], generator=torch.Generator().manual_seed(0)) * 1e-4
    draw = Draw(params, tokens, len(prompt), params.seed or 0)
    rows = [DrawnRow(draw, row, len(tokens)) for row in range(len(noise))]
    drawn = {s.token_id for s in sample(logits + noise, rows)}
    return {answer[place], other[place]} <= drawn


def assert_same(engine: Engine, request: Request, got: list[int], expected: list[int]) -> None:
    if got != expected:
        assert is_tie(engine, request, expected, got), f"{request}: {got} instead of {expected}"


def random_requests(count: int, seed: int) -> list[Request]:
    stream = random.Random(seed)
    beginnings = [random_tokens(n, 150) for n in range(3)]
    requests = []
    for number in range(count):
        shared = stream.choice(beginnings)[: stream.choice((0, 1, 63, 64, 65, 128, 150))]
        prompt = shared + random_tokens(1000 + number, stream.randrange(1, 40))
        params = SamplingParams(
            max_tokens=stream.randrange(1, 24),
            temperature=stream.choice((0.0, 0.7, 1.5)),
            top_p=stream.choice((1.0, 0.9)),
            top_k=stream.choice((0, 0, 20)),
            repetition_penalty=stream.choice((1.0, 1.2)),
            seed=number,
        )
        requests.append(Request(f"r{number}", token_ids=tuple(prompt), sampling=params))
    return requests
