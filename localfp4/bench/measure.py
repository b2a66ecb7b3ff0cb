"""Runs one batch through an engine and works out its figures; knows nothing of reports.

A token's time is when the step that made it has returned, which on a GPU is after the device is
done: the token's id has been read back.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from localfp4.engine.faults import is_out_of_memory
from localfp4.messages import Delta, Event, Failed, Request

Arrivals = Mapping[str, Sequence[float]]
"""Per request: when each of its tokens came, in seconds since all requests were added."""


class CaseFailedError(Exception):
    """The engine refused or broke a request; the message is its sentence."""


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
class Figures:
    """What one batch took; ``None`` where answers of one token have no such figure.

    Attributes:
        ttft_ms: Time to first token, mean over the requests.
        tpot_ms: Time per output token after the first, (E2E - TTFT) / (n - 1), mean.
        e2e_ms: Time from arrival to the last token, mean.
        prefill_tokens_per_s: Prompt tokens of the batch over the time until every request has
            its first token.
        decode_tokens_per_s: Tokens of the batch that came after that, over the time they took.
        decode_tokens_per_s_per_user: What one request sees: 1 / TPOT.
        output_tokens_per_s: All generated tokens over the whole time, prefill included.
    """

    ttft_ms: float
    tpot_ms: float | None
    e2e_ms: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float | None
    decode_tokens_per_s_per_user: float | None
    output_tokens_per_s: float


def measure(
    engine: Steps, requests: Sequence[Request], clock: Callable[[], float] = time.perf_counter
) -> Figures:
    """Run requests to their end, all added at once.

    Raises:
        CaseFailedError: A request failed, was not answered to its full length, or memory ran
            out; the engine is empty again.
    """
    try:
        arrivals = _run(engine, requests, clock)
    except Exception as error:
        _abandon(engine, requests)
        if is_out_of_memory(error):
            raise CaseFailedError("memory ran out") from error
        raise
    return figures(arrivals, prompt_tokens=sum(len(r.token_ids or ()) for r in requests))


def figures(arrivals: Arrivals, prompt_tokens: int) -> Figures:
    """Work out the figures of a batch whose every request has at least one token."""
    times = list(arrivals.values())
    prefilled = max(t[0] for t in times)
    end = max(t[-1] for t in times)
    decoded = sum(moment > prefilled for t in times for moment in t)
    tpot_s = [(t[-1] - t[0]) / (len(t) - 1) for t in times if len(t) > 1]
    return Figures(
        ttft_ms=fmean(t[0] for t in times) * 1e3,
        tpot_ms=fmean(tpot_s) * 1e3 if tpot_s else None,
        e2e_ms=fmean(t[-1] for t in times) * 1e3,
        prefill_tokens_per_s=prompt_tokens / prefilled,
        decode_tokens_per_s=decoded / (end - prefilled) if decoded else None,
        decode_tokens_per_s_per_user=1 / fmean(tpot_s) if tpot_s else None,
        output_tokens_per_s=sum(map(len, times)) / end,
    )


def _run(engine: Steps, requests: Sequence[Request], clock: Callable[[], float]) -> Arrivals:
    arrivals: dict[str, list[float]] = {request.id: [] for request in requests}
    start = clock()
    for request in requests:
        engine.add(request)
    while engine.has_work():
        events = engine.step()
        now = clock() - start
        for event in events:
            if isinstance(event, Failed):
                raise CaseFailedError(event.message)
            if isinstance(event, Delta):
                arrivals[event.id] += [now] * len(event.token_ids)
    _check_complete(requests, arrivals)
    return arrivals


def _check_complete(requests: Sequence[Request], arrivals: Arrivals) -> None:
    for request in requests:
        wanted, came = request.sampling.max_tokens, len(arrivals[request.id])
        if came != wanted:
            raise CaseFailedError(f"The engine generated {came} tokens instead of {wanted}.")


def _abandon(engine: Steps, requests: Sequence[Request]) -> None:
    for request in requests:
        engine.cancel(request.id)
    while engine.has_work():
        engine.step()
