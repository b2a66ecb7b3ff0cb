"""A run as SQL that adds it to tables of SQLite, and of most other databases."""

from collections.abc import Iterator, Mapping, Sequence

from localfp4.bench.cost import Prices
from localfp4.bench.names import all_series
from localfp4.bench.quality import Quality
from localfp4.bench.records import Run
from localfp4.bench.report.flat import Flat, Value, columns, flat_run
from localfp4.bench.report.joined import quality_of
from localfp4.text.sanitize import sanitize

_TEXT = frozenset(
    {
        *("model", "format", "engine", "engine_version", "family", "weight_format", "kernel_path"),
        *("device", "dtype", "runs", "revision", "notes", "status", "reason", "decode_bound"),
        *("prefill_bound", "prefill_peak", "decode_peak", "date", "localfp4_version"),
        *("localfp4_commit", "python", "torch", "triton", "cuda", "driver", "gpu", "cpu", "os"),
        *("kv", "command", "task", "metric"),
    }
)
_WHOLE = frozenset(
    {
        *("batch", "repeat", "parameters", "vocab_size", "gpu_power_limit_w", "cores", "threads"),
        *("warmup", "seed", "ignore_eos", "prefill_flops", "decode_flops"),
    }
)
_QUALITY = ("date", "model", "format", "task", "metric", "value", "stderr")


def to_sql(run: Run, quality: Sequence[Quality], prices: Prices | None) -> str:
    """Return a transaction that creates ``bench`` and ``bench_quality`` and fills them.

    ``bench`` has a row for each run of a case, with all that is known of it; ``bench_quality`` is
    joined to it by date, model and format.
    """
    lines = ["BEGIN;", _create("bench", columns(run))]
    lines += [_insert("bench", row) for row in flat_run(run, prices)]
    if quality:
        lines += [_create("bench_quality", _QUALITY)]
        lines += [_insert("bench_quality", row) for row in _qualities(run, quality)]
    return "\n".join([*lines, "COMMIT;"])


def _qualities(run: Run, quality: Sequence[Quality]) -> Iterator[Flat]:
    known = (one for series in all_series(run) for one in quality_of(series, quality))
    for one in dict.fromkeys(known):
        found = {name: getattr(one, name) for name in _QUALITY if name != "date"}
        yield {"date": run.environment.date, **found}


def _create(table: str, names: Sequence[str]) -> str:
    described = ", ".join(f'"{name}" {_type(name)}' for name in names)
    return f"CREATE TABLE IF NOT EXISTS {table} ({described});"


def _type(name: str) -> str:
    if name in _TEXT:
        return "TEXT"
    is_whole = name in _WHOLE or name.endswith(("_bytes", "_tokens"))
    return "INTEGER" if is_whole else "REAL"


def _insert(table: str, row: Mapping[str, Value]) -> str:
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(map(_literal, row.values()))
    return f"INSERT INTO {table} ({names}) VALUES ({values});"


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        # An apostrophe within a literal is doubled; nothing else is special in standard SQL.
        return "'" + sanitize(value).replace("'", "''") + "'"
    return repr(value)
