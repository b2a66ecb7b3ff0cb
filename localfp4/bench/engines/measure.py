"""Runs one batch through an engine in this process; knows nothing of figures.

A token's time is when the step that made it has returned, which on a GPU is after the device is
done: the token's id has been read back.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.records import Arrivals
from localfp4.engine.faults import is_out_of_memory
from localfp4.messages import Delta, Event, Failed, Finished, Request

Clock = Callable[[], float]


class Steps(Protocol):
    """What of an engine is measured."""

    def add(self, request: Request) -> None:
        """Queue a request."""

    def cancel(self, request_id: str) -> None:
        """Give a request up."""

    def step(self) -> list[Event]:
        """Compute one step."""

    def has_work(self) -> bool:
        """Say whether any request is unfinished."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of a batch.

    Attributes:
        arrivals: When its tokens came.
        cached: Per request that has ended: tokens of its prompt that were in the cache before.
    """

    arrivals: dict[str, list[float]] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)


def measure(
    engine: Steps,
    requests: Sequence[Request],
    clock: Clock = time.perf_counter,
    *,
    depth: int = 0,
) -> Arrivals:
    """Run requests to their end, all added at once.

    Args:
        engine: Idle.
        requests: With token ids. Those that ignore the end token must be answered in full.
        clock: Tells seconds.
        depth: Tokens of each prompt that must be in the cache already, and no more.

    Raises:
        CaseFailedError: A request failed, was not answered to its full length, found more or less
            of its prompt in the cache, or memory ran out; the engine is empty again.
    """
    answers = answer(engine, requests, clock)
    _check_depth(requests, answers, depth)
    _check_lengths(requests, answers.arrivals)
    return answers.arrivals


def answer(engine: Steps, requests: Sequence[Request], clock: Clock) -> Answers:
    """Run requests to their end, whatever they bring.

    Raises:
        CaseFailedError: A request failed, or memory ran out; the engine is empty again.
    """
    try:
        return _run(engine, requests, clock)
    except BaseException as error:
        _abandon(engine, requests)
        if is_out_of_memory(error):
            raise CaseFailedError("Memory ran out.") from error
        raise


def _run(engine: Steps, requests: Sequence[Request], clock: Clock) -> Answers:
    answers = Answers({request.id: [] for request in requests})
    start = clock()
    for request in requests:
        engine.add(request)
    while engine.has_work():
        events = engine.step()
        now = clock() - start
        for event in events:
            match event:
                case Failed():
                    raise CaseFailedError(event.message)
                case Delta():
                    answers.arrivals[event.id] += [now] * len(event.token_ids)
                case Finished():
                    answers.cached[event.id] = event.cached_tokens
    return answers


def _check_depth(requests: Sequence[Request], answers: Answers, depth: int) -> None:
    cached = [answers.cached.get(request.id, 0) for request in requests]
    if max(cached) > depth:
        raise CaseFailedError(
            f"{max(cached)} tokens of a prompt had been computed before instead of {depth}, so that "
            "it would look faster than it is."
        )
    if min(cached) < depth:
        lost = sum(one < depth for one in cached)
        raise CaseFailedError(
            f"{lost} of {len(cached)} contexts were no longer in the cache to their depth of {depth} "
            f"tokens (one had {min(cached)}); take a smaller batch or depth."
        )


def _check_lengths(requests: Sequence[Request], arrivals: Arrivals) -> None:
    for request in requests:
        wanted, came = request.sampling.max_tokens, len(arrivals[request.id])
        if request.sampling.ignore_eos and came != wanted:
            raise CaseFailedError(f"An answer has {came} tokens instead of {wanted}.")
    if not any(arrivals.values()):
        raise CaseFailedError("The model ended every answer before its first token.")


def _abandon(engine: Steps, requests: Sequence[Request]) -> None:
    for request in requests:
        engine.cancel(request.id)
    while engine.has_work():
        engine.step()
