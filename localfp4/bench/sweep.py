"""Runs every case of a plan on a loaded engine and yields a row for each repeat."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Protocol

from localfp4.bench.measure import CaseFailedError, Figures, Steps, measure
from localfp4.bench.workload import Case, requests
from localfp4.messages import ModelInfo
from localfp4.telemetry.memory import memory_use, reset_peak


class Measurable(Steps, Protocol):
    """An engine that says what it loaded."""

    @property
    def info(self) -> ModelInfo:
        """What was loaded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        cases: Cells of the table.
        repeats: Measured runs of each case.
        warmup: Runs of each case before that which are thrown away.
        seed: Decides the prompts.
        budget_s: Seconds after which no further round of repeats begins; ``None`` does all.
    """

    cases: tuple[Case, ...]
    repeats: int = 5
    warmup: int = 1
    seed: int = 0
    budget_s: float | None = None


_WARM_TOKENS = 16
"""Of an answer while warming up: by then everything has been run once."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run of one case, or why it could not be run.

    Attributes:
        model: What was loaded.
        case: What was run.
        repeat: Counted from 1; 0 in the one row of a case that could not be run.
        status: ``ok``, ``does_not_fit`` the context or the KV cache, or ``failed``.
        reason: Why not, where it is not ``ok``.
        figures: What it took, where it is ``ok``.
        memory_bytes: In use after the run: device memory on a GPU, else resident memory.
        peak_memory_bytes: The most that was in use during the run, as far as the platform can
            tell; on Windows' CPU path since the process began.
    """

    model: ModelInfo
    case: Case
    repeat: int
    status: Literal["ok", "does_not_fit", "failed"]
    reason: str | None = None
    figures: Figures | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None


def sweep(
    engine: Measurable,
    plan: Plan,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Row]:
    """Yield the rows of a plan.

    Every case is warmed up first. Then all cases run once before any runs again, so that a
    machine that slows down or speeds up touches all of them alike.

    Args:
        engine: Loaded, without prefix caching.
        plan: What to run.
        device: The torch device whose memory is reported.
        clock: Tells seconds.
    """
    live: list[Case] = []
    for case in plan.cases:
        refusal = _warm_up(engine, case, plan)
        if refusal is None:
            live.append(case)
        else:
            yield refusal
    started = clock()
    for repeat in range(1, plan.repeats + 1):
        if repeat > 1 and plan.budget_s is not None and clock() - started > plan.budget_s:
            return
        for case in tuple(live):
            row = _run(engine, case, plan, repeat, device)
            if row.status != "ok":
                live.remove(case)
            yield row


def _warm_up(engine: Measurable, case: Case, plan: Plan) -> Row | None:
    """Run a case without measuring it; a row is the reason to leave the case out."""
    if misfit := case.misfit(engine.info):
        return Row(engine.info, case, repeat=0, status="does_not_fit", reason=misfit)
    short = replace(case, output_tokens=min(case.output_tokens, _WARM_TOKENS))
    try:
        for number in range(plan.warmup):
            measure(engine, requests(short, engine.info.vocab_size, _random(plan, case, -number)))
    except CaseFailedError as error:
        return Row(engine.info, case, repeat=0, status="failed", reason=str(error))
    return None


def _run(engine: Measurable, case: Case, plan: Plan, repeat: int, device: str) -> Row:
    drawn = requests(case, engine.info.vocab_size, _random(plan, case, repeat))
    reset_peak(device)
    try:
        figures = measure(engine, drawn)
    except CaseFailedError as error:
        return Row(engine.info, case, repeat, status="failed", reason=str(error))
    memory = memory_use(device)
    return Row(
        model=engine.info,
        case=case,
        repeat=repeat,
        status="ok",
        figures=figures,
        memory_bytes=memory.used_bytes,
        peak_memory_bytes=memory.peak_bytes,
    )


def _random(plan: Plan, case: Case, repeat: int) -> Random:
    """A stream of its own for every run, whatever else is in the plan."""
    return Random(f"{plan.seed} {case.batch} {case.input_tokens} {case.output_tokens} {repeat}")
