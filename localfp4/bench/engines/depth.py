"""Depth: tokens that are in a context before the prompt whose computing is measured; torch-free.

A first request for each sequence computes them, and the prefix cache keeps them. That works in whole
pages. What recurrent layers carry along is kept at the end of the last page that leaves a token to
compute, which is why the first request is a token longer than the depth.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.measure import Steps, answer
from localfp4.bench.workload import Case
from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.errors import UserError
from localfp4.messages import Request

_FIRST = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)


def whole_pages(depths: Collection[int]) -> tuple[int, ...]:
    """Return depths that are whole pages.

    Raises:
        UserError: One of them is not.
    """
    for depth in depths:
        if problem := _problem(depth):
            raise UserError(problem)
    return tuple(depths)


def config_for_depth(config: EngineConfig, cases: Collection[Case]) -> EngineConfig:
    """Return a config that keeps what was computed before where a case needs that, and only there.

    Nothing moves to main memory: what comes back from there would count as computing the prompt.
    """
    return replace(config, prefix_caching=any(case.depth for case in cases), kv_ram_bytes=0)


def fill(engine: Steps, case: Case, requests: Sequence[Request]) -> None:
    """Compute the beginnings of requests up to the depth of their case, one after the other.

    Args:
        engine: Idle, and keeps what it computes.
        case: What will be measured.
        requests: Its requests, whose prompts begin with the tokens of the depth.

    Raises:
        CaseFailedError: The depth is not whole pages, a request failed, or memory ran out.
    """
    if problem := _problem(case.depth):
        raise CaseFailedError(problem, "unsupported")
    if not case.depth:
        return
    for request in requests:
        beginning = (request.token_ids or ())[: case.depth + 1]
        first = Request(f"{request.id}-depth", token_ids=beginning, sampling=_FIRST)
        answer(engine, [first], time.perf_counter)


def _problem(depth: int) -> str:
    if not depth % PAGE_SIZE:
        return ""
    below = depth // PAGE_SIZE * PAGE_SIZE
    return (
        f"A depth of {depth} tokens is not whole pages of {PAGE_SIZE}, which is what the cache keeps; "
        f"write {f'{below} or ' if below else ''}{below + PAGE_SIZE}."
    )
