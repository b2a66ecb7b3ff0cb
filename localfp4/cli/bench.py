"""``localfp4 bench``: options in, tables out; the measuring is in ``localfp4.bench``."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from localfp4.bench.report import to_json, to_markdown
from localfp4.bench.sweep import Plan, Row, sweep
from localfp4.bench.workload import cases
from localfp4.checkpoint.hub import locate
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.options import engine_config, engine_options
from localfp4.cli.progress import load_visibly
from localfp4.engine.faults import no_room_to_load, out_of_memory_as
from localfp4.errors import UserError
from localfp4.telemetry.environment import environment
from localfp4.text.sanitize import sanitize

if TYPE_CHECKING:
    from localfp4.config import EngineConfig
    from localfp4.engine.engine import Engine


_COMMA_LIST = "N[,N…]"


def _counts(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """Read a comma list of positive whole numbers."""
    try:
        counts = [int(part) for part in value.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise click.BadParameter(f"{value!r} is not a comma list of whole numbers from 1.")
    return counts


@click.command()
@click.argument("model", default="demo")
@click.option(
    "-p",
    "--input-len",
    callback=_counts,
    metavar=_COMMA_LIST,
    default="512",
    show_default=True,
    help="Tokens of each prompt.",
)
@click.option(
    "-n",
    "--output-len",
    callback=_counts,
    metavar=_COMMA_LIST,
    default="128",
    show_default=True,
    help="Tokens of each answer.",
)
@click.option(
    "-b",
    "--batch",
    callback=_counts,
    metavar=_COMMA_LIST,
    default="1",
    show_default=True,
    help="Requests at a time.",
)
@click.option(
    "-r",
    "--repeats",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Measured runs of each.",
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Runs that are thrown away.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the random prompts.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Format of the report.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@engine_options
def bench(
    model: str,
    input_len: list[int],
    output_len: list[int],
    batch: list[int],
    repeats: int,
    warmup: int,
    seed: int,
    output: str,
    out: Path | None,
    **options: Any,
) -> None:
    """Measure prefill, decode and memory of MODEL (default: the bundled demo).

    Lengths and batch sizes may be comma lists, such as -b 1,4,16: every combination is run.
    Prompts are random tokens, answers greedy and of exact length, and nothing is reused between
    runs. Ctrl-C reports what has been measured so far.
    """
    _require_writable(out)
    locate(model)
    plan = Plan(tuple(cases(batch, input_len, output_len)), repeats, warmup, seed)
    config = replace(engine_config(model, options), max_batch=max(batch), prefix_caching=False)
    with closing(_load(config)) as engine:
        rows, interrupted = _measure(engine, plan, config)
    _write(_report(plan, rows, output), out)
    if interrupted:
        raise KeyboardInterrupt


def _load(config: EngineConfig) -> Engine:
    """Build the engine; this imports torch."""
    with exit_on_interrupt(), out_of_memory_as(no_room_to_load(config.model)):
        from localfp4.engine.engine import load_engine

        return load_visibly(load_engine(config))


def _measure(engine: Engine, plan: Plan, config: EngineConfig) -> tuple[list[Row], bool]:
    """Return the rows, and whether the user cut them short."""
    device = "cpu" if engine.info.device == "cpu" else config.device or "cuda"
    rows: list[Row] = []
    _note("warming up")
    try:
        for row in sweep(engine, plan, device):
            rows.append(row)
            _note(_progress(row, plan))
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def _progress(row: Row, plan: Plan) -> str:
    case = f"batch {row.case.batch} · {row.case.input_tokens} in · {row.case.output_tokens} out"
    if row.figures is None:
        return f"{case} · {row.reason}"
    speed = row.figures.output_tokens_per_s
    return f"{case} · {row.repeat}/{plan.repeats} · {speed:.1f} tok/s over all"


def _report(plan: Plan, rows: list[Row], output: str) -> str:
    import torch

    device = rows[0].model.device if rows else "cpu"
    where = environment(torch.get_num_threads(), None if device == "cpu" else device)
    return to_json(where, rows) if output == "json" else to_markdown(where, plan, rows)


def _require_writable(out: Path | None) -> None:
    """Refuse before minutes of measuring, not after."""
    if out is None:
        return
    target = out if out.exists() else out.parent
    if not out.parent.is_dir():
        raise UserError(f"There is no folder {out.parent} to write {out.name} to; create it first.")
    if not os.access(target, os.W_OK):
        raise UserError(f"{target} may not be written to; choose another --out.")


def _write(report: str, out: Path | None) -> None:
    if out is None:
        click.echo(report)
        return
    try:
        out.write_text(report + "\n", encoding="utf-8")
    except OSError as error:
        click.echo(report)
        raise UserError(f"Writing {out} failed ({error.strerror}); the report is above.") from error
    _note(f"wrote {out}")


def _note(text: str) -> None:
    """Progress goes to stderr, so that stdout is the report alone."""
    click.echo(sanitize(text), err=True)
