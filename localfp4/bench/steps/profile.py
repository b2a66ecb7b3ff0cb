"""Where the time of a decode step goes: phases on the host, operators or kernels, and gaps."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.ours import Ours
from localfp4.bench.steps.device_time import DeviceTime, Span, device_time
from localfp4.bench.steps.phases import Watch
from localfp4.bench.steps.profile_result import Operator, Profile
from localfp4.bench.workload import Case, requests
from localfp4.engine.engine import Engine
from localfp4.messages import Delta, Failed, Request

_MOST_STEPS = 32
_WARM_STEPS = 3
_RANGES = "runner."
"""What the runner calls parts of a step; no operators."""

_LEAST_TOKENS = _WARM_STEPS + 3 + 1
"""Of an answer: each of the three measurements needs a step, and the first token is prefill's."""


def profile_case(loaded: Ours, case: Case, seed: int) -> Profile:
    """Profile the decode steps of a case.

    Raises:
        CaseFailedError: It does not fit the context or the KV cache, its answers are too short, or
            a request failed.
    """
    engine = loaded.engine
    if misfit := case.misfit(engine.info):
        raise CaseFailedError(misfit)
    if case.output_tokens < _LEAST_TOKENS:
        raise CaseFailedError(f"answers of {_LEAST_TOKENS} tokens are the shortest to profile")
    steps = min(_MOST_STEPS, (case.output_tokens - 1 - _WARM_STEPS) // 3)
    drawn = requests(case, engine.info.vocab_size, Random(f"{seed} {case}"))
    with _decoding(engine, drawn):
        _steps(engine, _WARM_STEPS)
        step_us = _steps(engine, steps)
        with Watch() as watch:
            _steps(engine, steps)
        profiled_us, on_device, on_host = _profiled(engine, steps, loaded.device)
    return Profile(
        case=case,
        steps=steps,
        step_us=step_us,
        phases=watch.microseconds(steps),
        profiled_us=profiled_us,
        operators=on_host if on_device is None else on_device.operators,
        device_busy_us=None if on_device is None else on_device.busy_us,
        device_idle_us=None if on_device is None else on_device.idle_us,
    )


@contextmanager
def _decoding(engine: Engine, drawn: Sequence[Request]) -> Iterator[None]:
    """Bring a batch to where all of it decodes, and give it up in the end."""
    waiting = {request.id for request in drawn}
    try:
        for request in drawn:
            engine.add(request)
        while waiting:
            for event in engine.step():
                if isinstance(event, Failed):
                    raise CaseFailedError(event.message)
                if isinstance(event, Delta) and event.token_ids:
                    waiting.discard(event.id)
        yield
    finally:
        for request in drawn:
            engine.cancel(request.id)
        while engine.has_work():
            engine.step()


def _steps(engine: Engine, count: int) -> float:
    """Run some steps and return the microseconds of one.

    Raises:
        CaseFailedError: The answers ended before.
    """
    started = time.perf_counter()
    for _ in range(count):
        if not engine.has_work():
            raise CaseFailedError("the answers ended early, since steps brought several tokens")
        engine.step()
    return 1e6 * (time.perf_counter() - started) / count


def _profiled(
    engine: Engine, steps: int, device: torch.device
) -> tuple[float, DeviceTime | None, tuple[Operator, ...]]:
    """Run some steps under torch's profiler; the device's time is ``None`` on a CPU."""
    on_gpu = device.type == "cuda"
    # It otherwise writes lines of its own between ours; it looks when it is used first.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as watched:
        step_us = _steps(engine, steps)
        if on_gpu:
            torch.cuda.synchronize(device)
    if on_gpu:
        return step_us, device_time(_kernels(watched.events() or ()), steps), ()
    operators = [
        Operator(one.key, one.count / steps, one.self_cpu_time_total / steps)
        for one in watched.key_averages()
        if not one.key.startswith(_RANGES)
    ]
    return step_us, None, tuple(sorted(operators, key=lambda one: -one.us))


def _kernels(events: Sequence[FunctionEvent]) -> list[Span]:
    """Return what ran on a GPU: kernels, copies and fills."""
    return [
        Span(event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    ]
