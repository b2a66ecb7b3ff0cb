"""A run that was not begun, as text and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from localfp4.bench.events import cell as cell_in_words
from localfp4.bench.planning.dry_run import DryRun, Prospect
from localfp4.bench.planning.fitting import is_too_large
from localfp4.bench.workload import Case
from localfp4.documents.markdown import cell, counted, one_line, table
from localfp4.models.plan.memory_plan import EXPECTED_SHARE, gib

_OOM = "OOM"


def dry_run_to_markdown(found: DryRun) -> str:
    """Return what a person wants to know: the machine, a table for each model, and how long."""
    machine = found.machine
    lines = [
        f"**{one_line(found.where)}** · {gib(machine.free_bytes)} GiB free of "
        f"{gib(machine.total_bytes)}, {gib(machine.reserve_bytes)} of it for other programs",
        "",
    ]
    models = dict.fromkeys(one.seat.series.model for one in found.prospects)
    for model in models:
        own = [one for one in found.prospects if one.seat.series.model == model]
        lines += [*_table(model, own, found), ""]
    lines += [f"- {cell(remark)}" for remark in (*_remarks(found), *_totals(found))]
    return "\n".join(lines)


def dry_run_to_json(found: DryRun) -> str:
    """Return ``{"device", "method", "series", "rows", "runs", …}``."""
    machine = found.machine
    report: dict[str, Any] = {
        "device": {
            "name": found.where,
            "kind": machine.device,
            "free_bytes": machine.free_bytes,
            "total_bytes": machine.total_bytes,
            "reserve_bytes": machine.reserve_bytes,
        },
        "method": asdict(found.method),
        "series": [_series(one) for one in found.prospects],
        "rows": [_row(one, case) for one in found.prospects for case in found.cases],
        "runs": found.runs,
        "warm_ups": found.warm_ups,
        "loadings_per_series": found.loadings,
        "stays_loaded": found.stays_loaded,
        "together_bytes": found.together_bytes,
        "expected_s": found.expected_s,
    }
    return json.dumps(report, indent=2, allow_nan=False)


def _table(model: str, prospects: Sequence[Prospect], found: DryRun) -> list[str]:
    """Return a line for each cell: its sizes, and what each series takes with it, in GiB."""
    depth = [""] if any(case.depth for case in found.cases) else []
    headings = ["batch", "input", "output", *(["depth"] if depth else []), "KV tokens", "KV GiB"]
    headings += [cell(one.seat.series.format) for one in prospects]
    weights = ["weights", "", "", *depth, "", "", *map(_weights, prospects)]
    rows = [
        [
            str(case.batch),
            str(case.input_tokens),
            str(case.output_tokens),
            *([str(case.depth)] if depth else []),
            str(case.kv_tokens),
            _cache(case, prospects),
            *(_total(one, case) for one in prospects),
        ]
        for case in found.cases
    ]
    what = "GiB with weights, KV cache, what a step takes, and what is for other programs"
    return [f"**{cell(model)}** · {what}", "", *table(headings, [weights, *rows])]


def _weights(one: Prospect) -> str:
    if one.fitting is None:
        return one.seat.status
    demands = [*one.fitting.demands.values()]
    return _gib(demands[0].weights if demands else one.fitting.weighed.sizes.total)


def _cache(case: Case, prospects: Sequence[Prospect]) -> str:
    """Return what keys, values and states of a cell take, which is the same for most series."""
    sizes = {
        _gib(one.fitting.demands[case].cache)
        for one in prospects
        if one.fitting and case in one.fitting.demands
    }
    return " to ".join(sorted({min(sizes, key=float), max(sizes, key=float)})) if sizes else "-"


def _total(one: Prospect, case: Case) -> str:
    if one.fitting is None or case not in one.fitting.demands:
        return "-"
    total = _gib(one.fitting.demands[case].total)
    return f"{_OOM} {total}" if case in one.fitting.refused else total


def _remarks(found: DryRun) -> list[str]:
    """Say what runs otherwise than its name says, and why some cells do not run."""
    names_of: dict[str, list[str]] = {}
    reasons: dict[tuple[Case, str], list[str]] = {}
    for one in found.prospects:
        name = one.seat.series.format
        for remark in _remarks_on(one):
            names_of.setdefault(remark, []).append(name)
        for case, reason in (one.fitting.refused if one.fitting else {}).items():
            reasons.setdefault((case, reason), []).append(name)
    remarks = [f"{', '.join(names)}: {remark}" for remark, names in names_of.items()]
    # What takes more than there is says so in the table.
    if any(is_too_large(reason) for _, reason in reasons):
        remarks.append(f"{_OOM}: more than is free; such cells are left out.")
    return remarks + [
        f"{', '.join(names)}, {cell_in_words(case)}: {reason}"
        for (case, reason), names in reasons.items()
        if not is_too_large(reason)
    ]


def _remarks_on(one: Prospect) -> Iterator[str]:
    if one.seat.runs:
        yield f"what runs is {one.seat.runs}."
    if one.seat.note:
        yield one.seat.note
    if one.fitting is None:
        yield one.seat.reason
    elif one.fitting.plan is not None and not one.fitting.plan.placement.is_whole:
        yield one.fitting.plan.describe()[0]


def _totals(found: DryRun) -> list[str]:
    method = found.method
    cells = sum(len(one.cases) for one in found.running)
    together = f"{gib(found.together_bytes)} GiB"
    budget = method.budget_s
    fewer = "" if budget is None else f", or as many as begin within {_duration(budget)}"
    totals = [
        f"{counted(found.runs, 'run')}: {counted(cells, 'cell')}, {method.repeats} of each{fewer}, "
        f"and {found.warm_ups} to warm up."
    ]
    if len(found.running) > 1:
        totals.append(
            f"All series stay loaded, in {together} together."
            if found.stays_loaded
            else f"Every series is loaded {method.repeats} times: together they would take {together}."
        )
    totals.append(_how_long(found))
    return totals


def _how_long(found: DryRun) -> str:
    seconds = found.expected_s
    if seconds is None:
        return "How long that takes cannot be estimated: nothing is known of the limits here."
    return (
        f"About {_duration(seconds)} without loading, an estimate: {EXPECTED_SHARE:.0%} of what "
        "the card allows."
    )


def _gib(count: int) -> str:
    """Return bytes in GiB with two decimals, since cells may differ by little."""
    return f"{count / 2**30:.2f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _series(one: Prospect) -> dict[str, Any]:
    fitting = one.fitting
    return {
        **asdict(one.seat.series),
        "status": "ok" if fitting is not None else one.seat.status,
        "reason": one.seat.reason or None,
        "runs": one.seat.runs or None,
        "note": one.seat.note or None,
        "context_tokens": fitting.config.max_model_len if fitting and fitting.cases else None,
        "kv_cache_tokens": fitting.config.kv_cache_tokens if fitting and fitting.cases else None,
    }


def _row(one: Prospect, case: Case) -> dict[str, Any]:
    demand = one.fitting.demands.get(case) if one.fitting else None
    reason = one.refusal(case)
    refused = "does_not_fit" if one.fitting else one.seat.status
    return {
        **asdict(one.seat.series),
        **asdict(case),
        "kv_tokens": case.kv_tokens,
        "status": refused if reason else "ok",
        "reason": reason or None,
        "weight_bytes": demand.weights if demand else None,
        "kv_cache_bytes": demand.cache if demand else None,
        "work_bytes": demand.work if demand else None,
        "total_bytes": demand.total if demand else None,
    }
