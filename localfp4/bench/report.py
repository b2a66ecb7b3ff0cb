"""Rows as JSON or as a Markdown table; knows nothing of engines."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from statistics import fmean, stdev
from typing import Any

from localfp4.bench.measure import Figures
from localfp4.bench.sweep import Plan, Row
from localfp4.bench.workload import Case
from localfp4.messages import ModelInfo
from localfp4.telemetry.environment import Environment
from localfp4.text.sanitize import sanitize

_MIB = 2**20
_COLUMNS = (
    ("prefill tok/s", "prefill_tokens_per_s", 1),
    ("decode tok/s", "decode_tokens_per_s", 1),
    ("per user tok/s", "decode_tokens_per_s_per_user", 1),
    ("TTFT ms", "ttft_ms", 1),
    ("TPOT ms", "tpot_ms", 1),
    ("E2E ms", "e2e_ms", 1),
    ("memory MiB", "memory_bytes", _MIB),
    ("peak MiB", "peak_memory_bytes", _MIB),
)
"""Heading, name of the figure, and what it is divided by."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of the repeats; no deviation of a single one."""

    mean: float
    sd: float | None


def to_json(environment: Environment, rows: Sequence[Row]) -> str:
    """Return ``{"environment", "rows", "summary"}``: each run as it is, and per case its spread."""
    report = {
        "environment": asdict(environment),
        "rows": [_flat(row) for row in rows],
        "summary": [
            _summary(case, measured)
            for case, runs in _by_case(rows).items()
            if (measured := [row for row in runs if row.figures])
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def to_markdown(environment: Environment, plan: Plan, rows: Sequence[Row]) -> str:
    """Return a heading that says what was measured where, and a table of mean ± sd."""
    headings = ["batch", "input", "output", *(heading for heading, _, _ in _COLUMNS), "note"]
    table = [_table_row(case, runs) for case, runs in _by_case(rows).items()]
    if not any(line[-1] for line in table):
        headings, table = headings[:-1], [line[:-1] for line in table]
    header = _header(environment, plan, rows[0].model) if rows else []
    return "\n".join([*header, *_aligned(headings, table)])


def spreads(runs: Sequence[Row]) -> dict[str, Spread]:
    """Return mean and deviation of each figure that successful runs of one case have."""
    flat = [_flat(row) for row in runs]
    names = [*(field.name for field in fields(Figures)), "memory_bytes", "peak_memory_bytes"]
    values = {name: [row[name] for row in flat if row[name] is not None] for name in names}
    return {
        name: Spread(fmean(seen), stdev(seen) if len(seen) > 1 else None)
        for name, seen in values.items()
        if seen
    }


def _summary(case: Case, runs: Sequence[Row]) -> dict[str, Any]:
    found = {name: asdict(spread) for name, spread in spreads(runs).items()}
    return asdict(case) | {"repeats": len(runs)} | found


def _flat(row: Row) -> dict[str, Any]:
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
        "memory_bytes": row.memory_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
    }


def _by_case(rows: Iterable[Row]) -> dict[Case, list[Row]]:
    cases: dict[Case, list[Row]] = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    return dict(sorted(cases.items(), key=lambda item: astuple(item[0])))


def _header(environment: Environment, plan: Plan, model: ModelInfo) -> list[str]:
    where = environment.cpu if environment.gpu is None else environment.gpu
    driver = f" · driver {environment.driver}" if environment.driver else ""
    triton = f" · triton {environment.triton}" if environment.triton else ""
    runs = f"{_counted(plan.repeats, 'repeat')} after {_counted(plan.warmup, 'warm-up')}"
    lines = [
        f"**{model.name}** · {model.weight_format} · {model.kernel_path} · {model.dtype}",
        f"{where} · {_counted(environment.threads, 'thread')} · {environment.os}{driver}",
        f"localfp4 {environment.localfp4} · Python {environment.python}"
        f" · torch {environment.torch}{triton}",
        f"loaded in {model.load_s:.2f} s · weights {model.weight_bytes / _MIB:.1f} MiB · "
        f"{runs} · greedy · prefix cache off · mean ± sd",
    ]
    # Two spaces break a line in Markdown.
    return [f"{_one_line(line)}  " for line in lines] + [""]


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _table_row(case: Case, runs: Sequence[Row]) -> list[str]:
    found = spreads([row for row in runs if row.figures])
    notes = [f"{row.status.replace('_', ' ')}: {row.reason}" for row in runs if row.reason]
    return [
        *map(str, astuple(case)),
        *(_cell(found.get(name), unit) for _, name, unit in _COLUMNS),
        _one_line("; ".join(notes)).replace("|", "\\|"),
    ]


def _cell(spread: Spread | None, unit: int) -> str:
    if spread is None:
        return "-"
    mean = spread.mean / unit
    digits = 0 if mean >= 1000 else 1 if mean >= 10 else 2
    if spread.sd is None:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {spread.sd / unit:.{digits}f}"


def _aligned(headings: list[str], table: list[list[str]]) -> list[str]:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(map(len, column)) for column in zip(headings, *table, strict=True)]
    lines = [headings, [f"{'-' * (width - 1)}:" for width in widths], *table]
    return [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def _one_line(text: str) -> str:
    return " ".join(sanitize(text).split())
