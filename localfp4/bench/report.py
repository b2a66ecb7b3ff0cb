"""Rows as JSON or as a Markdown table; knows nothing of engines."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from statistics import fmean, stdev
from typing import Any

from localfp4.bench.markdown import MIB, cell, counted, heading, short, table
from localfp4.bench.measure import Figures
from localfp4.bench.roofline import Roofline
from localfp4.bench.sweep import Plan, Row
from localfp4.bench.workload import Case
from localfp4.telemetry.environment import Environment

_COLUMNS = (
    ("prefill tok/s", "prefill_tokens_per_s", 1),
    ("decode tok/s", "decode_tokens_per_s", 1),
    ("per user tok/s", "decode_tokens_per_s_per_user", 1),
    ("% of limit", "percent_of_limit", 1),
    ("TTFT ms", "ttft_ms", 1),
    ("TPOT ms", "tpot_ms", 1),
    ("E2E ms", "e2e_ms", 1),
    ("memory MiB", "memory_bytes", MIB),
    ("peak MiB", "peak_memory_bytes", MIB),
)
"""Heading, name of the figure, and what it is divided by."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of the repeats; no deviation of a single one."""

    mean: float
    sd: float | None


def to_json(environment: Environment, rows: Sequence[Row], roofline: Roofline) -> str:
    """Return ``{"environment", "limits", "rows", "summary"}``: runs as they are, and their spread."""
    report = {
        "environment": asdict(environment),
        "limits": asdict(roofline.limits),
        "rows": [_flat(row, roofline) for row in rows],
        "summary": [
            _summary(case, measured, roofline)
            for case, runs in _by_case(rows).items()
            if (measured := [row for row in runs if row.figures])
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def to_markdown(
    environment: Environment, plan: Plan, rows: Sequence[Row], roofline: Roofline
) -> str:
    """Return a heading that says what was measured where, and a table of mean ± sd."""
    headings = ["batch", "input", "output", *(title for title, _, _ in _COLUMNS), "note"]
    cells = [_table_row(case, runs, roofline) for case, runs in _by_case(rows).items()]
    if not any(line[-1] for line in cells):
        headings, cells = headings[:-1], [line[:-1] for line in cells]
    repeats = max((row.repeat for row in rows), default=0)
    method = (
        f"{counted(repeats, 'repeat')} after {counted(plan.warmup, 'warm-up')} · greedy · "
        "prefix cache off · mean ± sd"
    )
    header = heading(environment, rows[0].model, roofline.limits, method) if rows else []
    return "\n".join([*header, *table(headings, cells)])


def spreads(runs: Sequence[Row], roofline: Roofline) -> dict[str, Spread]:
    """Return mean and deviation of each figure that successful runs of one case have."""
    flat = [_flat(row, roofline) for row in runs]
    names = [field.name for field in fields(Figures)]
    names += ["percent_of_limit", "memory_bytes", "peak_memory_bytes"]
    values = {name: [row[name] for row in flat if row[name] is not None] for name in names}
    return {
        name: Spread(fmean(seen), stdev(seen) if len(seen) > 1 else None)
        for name, seen in values.items()
        if seen
    }


def _summary(case: Case, runs: Sequence[Row], roofline: Roofline) -> dict[str, Any]:
    found = {name: asdict(spread) for name, spread in spreads(runs, roofline).items()}
    return asdict(case) | {"repeats": len(runs)} | found


def _flat(row: Row, roofline: Roofline) -> dict[str, Any]:
    figures = asdict(row.figures) if row.figures else dict.fromkeys(f.name for f in fields(Figures))
    model = row.model
    return {
        "model": model.name,
        "family": model.family,
        "parameters": model.parameters,
        "weight_format": model.weight_format,
        "kernel_path": model.kernel_path,
        "device": model.device,
        "dtype": model.dtype,
        "weight_bytes": model.weight_bytes,
        "kv_cache_bytes": model.kv_cache_bytes,
        "load_s": model.load_s,
        **asdict(row.case),
        "repeat": row.repeat,
        "status": row.status,
        "reason": row.reason,
        **figures,
        "decode_bytes": roofline.decode_bytes(row.case),
        "percent_of_limit": row.figures and roofline.percent_of_limit(row.case, row.figures),
        "memory_bytes": row.memory_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
    }


def _by_case(rows: Iterable[Row]) -> dict[Case, list[Row]]:
    cases: dict[Case, list[Row]] = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    return dict(sorted(cases.items(), key=lambda item: astuple(item[0])))


def _table_row(case: Case, runs: Sequence[Row], roofline: Roofline) -> list[str]:
    found = spreads([row for row in runs if row.figures], roofline)
    notes = [f"{row.status.replace('_', ' ')}: {row.reason}" for row in runs if row.reason]
    return [
        *map(str, astuple(case)),
        *(_cell(found.get(name), unit) for _, name, unit in _COLUMNS),
        cell("; ".join(notes)),
    ]


def _cell(spread: Spread | None, unit: int) -> str:
    if spread is None:
        return "-"
    mean = spread.mean / unit
    if spread.sd is None:
        return short(mean)
    digits = len(short(mean).partition(".")[2])
    return f"{short(mean)} ± {spread.sd / unit:.{digits}f}"
