"""A run as flat tables, a value a column, under the same names in JSON, CSV and SQL."""

from collections.abc import Mapping
from dataclasses import asdict, fields

from localfp4.bench.cost import Prices
from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Method, Row, Run, Series, Work
from localfp4.bench.summary import FIGURES, figures_of, shares_of
from localfp4.bench.workload import Case
from localfp4.telemetry.environment import Environment

Value = str | int | float | None
Flat = dict[str, Value]


def flat_run(run: Run, prices: Prices | None) -> list[Flat]:
    """Return every row with all that is known of its series, the machine and the method."""
    return [_with_all(row, run, prices) for row in run.rows]


def columns(run: Run) -> list[str]:
    """Return the names that every flat row has, also where there is none."""
    return list(_with_all(Row(Series("", ""), Case(1, 1, 1), 0, "failed"), run, None))


def _with_all(row: Row, run: Run, prices: Prices | None) -> Flat:
    return {
        **flat_series(row.series, run.abouts.get(row.series)),
        **flat_row(row, run.limits, prices),
        **_machine(run.environment),
        **_limits(run.limits),
        **_method(run.method),
    }


def flat_series(series: Series, about: About | None) -> Flat:
    """Return who was measured; what was not loaded has nothing but its name."""
    loaded: Mapping[str, Value] = {} if about is None else asdict(about) | {"notes": None}
    found: Flat = {**asdict(series), "engine_version": loaded.get("version")}
    found |= {
        field.name: loaded.get(field.name)
        for field in fields(About)
        if field.name not in ("version", "notes")
    }
    return found | {"notes": " ".join(about.notes) if about else None}


def flat_case(case: Case) -> Flat:
    """Return the sizes of a case."""
    return {
        "batch": case.batch,
        "input_tokens": case.input_tokens,
        "output_tokens": case.output_tokens,
        "depth_tokens": case.depth,
    }


def flat_row(row: Row, limits: Limits | None, prices: Prices | None) -> Flat:
    """Return what was measured, what follows from it, and the least that it takes."""
    known = figures_of(row, limits, prices)
    reached = shares_of(row, limits)
    work: Mapping[str, Value] = asdict(row.work) if row.work else {}
    return {
        **flat_case(row.case),
        "repeat": row.repeat,
        "status": row.status,
        "reason": row.reason or None,
        **{name: known.get(name) for name in FIGURES},
        "decode_bound": reached.decode_bound if reached else None,
        "prefill_bound": reached.prefill_bound if reached else None,
        "joules": row.joules,
        **{field.name: work.get(field.name) for field in fields(Work)},
    }


def _machine(environment: Environment) -> Flat:
    return {
        "date": environment.date,
        "localfp4_version": environment.localfp4,
        "localfp4_commit": environment.commit,
        "python": environment.python,
        "torch": environment.torch,
        "triton": environment.triton,
        "cuda": environment.cuda,
        "driver": environment.driver,
        "gpu": environment.gpu,
        "gpu_memory_bytes": environment.gpu_memory_bytes,
        "gpu_power_limit_w": environment.gpu_power_limit_w,
        "cpu": environment.cpu,
        "cores": environment.cores,
        "threads": environment.threads,
        "system_memory_bytes": environment.memory_bytes,
        "os": environment.os,
    }


def _limits(limits: Limits | None) -> Flat:
    known: Mapping[str, Value] = asdict(limits) if limits else {}
    return {field.name: known.get(field.name) for field in fields(Limits)}


def _method(method: Method) -> Flat:
    return {
        "warmup": method.warmup,
        "seed": method.seed,
        "ignore_eos": int(method.ignore_eos),
        "kv": method.kv,
        "command": method.command,
    }
