"""Profiles as JSON or as Markdown; knows nothing of engines."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from localfp4.bench.peaks import Limits
from localfp4.bench.report.flat import flat_case
from localfp4.bench.report.headings import model_heading
from localfp4.bench.steps.profile_result import Operator, Profile
from localfp4.bench.workload import Case
from localfp4.documents.markdown import cell, counted, short, table
from localfp4.messages import ModelInfo
from localfp4.telemetry.environment import Environment

Outcomes = list[tuple[Case, Profile | str]]
"""A profile of each case, or why there is none."""

_MOST_OPERATORS = 25
_LONGEST_NAME = 60


def profiles_to_json(
    environment: Environment, model: ModelInfo, limits: Limits, outcomes: Outcomes
) -> str:
    """Return ``{"environment", "limits", "model", "rows"}``."""
    report = {
        "environment": asdict(environment),
        "limits": asdict(limits),
        "model": {
            "name": model.name,
            "weight_format": model.weight_format,
            "kernel_path": model.kernel_path,
            "dtype": model.dtype,
            "device": model.device,
        },
        "rows": [flat_case(case) | _as_object(outcome) for case, outcome in outcomes],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def profiles_to_markdown(
    environment: Environment, model: ModelInfo, limits: Limits, outcomes: Outcomes
) -> str:
    """Return a heading, and for every case where the time of a step goes."""
    method = "decode steps · greedy · prefix cache off"
    lines = model_heading(environment, model, limits, method)
    for case, outcome in outcomes:
        lines += [_title(case), ""]
        lines += [cell(outcome), ""] if isinstance(outcome, str) else _sections(outcome)
    return "\n".join(lines).rstrip()


def _as_object(outcome: Profile | str) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"status": "failed", "reason": outcome, "profile": None}
    found = asdict(outcome)
    del found["case"]
    return {"status": "ok", "reason": None, "profile": found}


def _title(case: Case) -> str:
    return f"## batch {case.batch} · {case.input_tokens} in · {case.output_tokens} out"


def _sections(found: Profile) -> Iterator[str]:
    yield f"A step takes {short(found.step_us)} μs, mean of {counted(found.steps, 'step')}."
    if found.device_busy_us is not None and found.device_idle_us is not None:
        window = found.device_busy_us + found.device_idle_us
        idle = found.device_idle_us / window if window else 0.0
        yield (
            f"The GPU is busy for {short(found.device_busy_us)} μs of it and idle between kernels "
            f"for {short(found.device_idle_us)} μs ({idle:.1%})."
        )
    yield ""
    yield from _phases(found.phases)
    yield ""
    yield from _operators(found)
    yield ""


def _phases(phases: Mapping[str, float]) -> list[str]:
    total = sum(phases.values())
    rows = [[name, short(us), _share(us, total)] for name, us in phases.items()]
    return table(["on the host", "μs", "share"], rows)


def _operators(found: Profile) -> list[str]:
    """Return what ran under the profiler, with what is left of the step on a CPU."""
    on_gpu = found.device_busy_us is not None
    total = sum(one.us for one in found.operators)
    rest = [] if on_gpu else [Operator("Python and the profiler", 0, found.profiled_us - total)]
    whole = total if on_gpu else found.profiled_us
    shown = [*found.operators[:_MOST_OPERATORS]]
    if hidden := found.operators[_MOST_OPERATORS:]:
        names = f"{counted(len(hidden), 'other')}"
        shown.append(Operator(names, sum(o.calls for o in hidden), sum(o.us for o in hidden)))
    rows = [
        [
            cell(one.name)[:_LONGEST_NAME],
            short(one.calls) if one.calls else "",
            short(one.us),
            _share(one.us, whole),
        ]
        for one in (*shown, *rest)
    ]
    return table(["kernel" if on_gpu else "operator of torch", "calls", "μs", "share"], rows)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""
