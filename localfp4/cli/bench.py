"""``localfp4 bench``: options in, tables out; the measuring is in ``localfp4.bench``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from localfp4.bench.host_result import costs_to_json, costs_to_markdown
from localfp4.bench.measure import CaseFailedError
from localfp4.bench.profile_report import profiles_to_json, profiles_to_markdown
from localfp4.bench.report import to_json, to_markdown
from localfp4.bench.sweep import Plan, Row, sweep
from localfp4.bench.workload import cases
from localfp4.checkpoint.hub import locate
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.options import engine_config, engine_options
from localfp4.cli.progress import load_visibly
from localfp4.cli.report_file import note, require_writable, write_report
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.engine.faults import no_room_to_load, out_of_memory_as
from localfp4.errors import UserError
from localfp4.telemetry.environment import Environment, environment

if TYPE_CHECKING:
    from localfp4.bench.load import Bench
    from localfp4.bench.profile_report import Outcomes
    from localfp4.config import EngineConfig


_COMMA_LIST = "N[,N…]"
_REPEATS, _BUDGET_S = 5, 60.0


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
@click.argument("model", required=False)
@synthetic_option
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
    help=f"Measured runs of each; by default {_REPEATS}, or as many as begin within a minute.",
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
@click.option("--profile", is_flag=True, help="Tell where the time of a decode step goes.")
@click.option(
    "--host",
    is_flag=True,
    help="Measure what steps cost without the model: scheduler, sampler, detokenizer.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@engine_options
def bench(
    model: str | None,
    synthetic: str | None,
    input_len: list[int],
    output_len: list[int],
    batch: list[int],
    repeats: int | None,
    warmup: int,
    seed: int,
    output: str,
    profile: bool,
    host: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Measure prefill, decode and memory of MODEL (default: the bundled demo).

    Lengths and batch sizes may be comma lists, such as -b 1,4,16: every combination is run.
    Prompts are random tokens, answers greedy and of exact length, and nothing is reused between
    runs. Ctrl-C reports what has been measured so far.

    The limit that speeds are compared with is that of the memory: a decode step has to read the
    weights, of experts those that are visited, and the context's keys and values, at the speed of a
    copy within the same run.
    """
    if profile and host:
        raise UserError("--profile and --host are two reports; ask for one at a time.")
    require_writable(out)
    name = chosen_model(model, synthetic)
    locate(name)
    plan = Plan(
        tuple(cases(batch, input_len, output_len)),
        repeats or _REPEATS,
        warmup,
        seed,
        budget_s=_BUDGET_S if repeats is None else None,
    )
    config = replace(engine_config(name, options), max_batch=max(batch), prefix_caching=False)
    if config.speculation == "auto":
        # Random prompts make models repeat themselves, which is easier to guess than any text.
        config = replace(config, speculation="off")
    if host:
        config = _for_host(config)
    with closing(_load(config)) as loaded:
        if host:
            write_report(_host_report(loaded, config, seed, output), out)
        elif profile:
            write_report(_profile_report(loaded, plan, output), out)
        else:
            rows, interrupted = _measure(loaded, plan)
            write_report(_report(loaded, plan, rows, output), out)
            if interrupted:
                raise KeyboardInterrupt


def _for_host(config: EngineConfig) -> EngineConfig:
    """Return how to load a model that will not be run: on the CPU, where no other is asked for."""
    from localfp4.bench.host import BATCHES

    return replace(config, device=config.device or "cpu", max_batch=max(BATCHES))


def _load(config: EngineConfig) -> Bench:
    """Build the engine; this imports torch."""
    with exit_on_interrupt(), out_of_memory_as(no_room_to_load(config.model)):
        from localfp4.bench.load import load_bench

        return load_visibly(load_bench(config))


def _measure(loaded: Bench, plan: Plan) -> tuple[list[Row], bool]:
    """Return the rows, and whether the user cut them short."""
    rows: list[Row] = []
    note("warming up")
    try:
        for row in sweep(loaded.engine, plan, str(loaded.device)):
            rows.append(row)
            note(_progress(row, plan))
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def _progress(row: Row, plan: Plan) -> str:
    case = f"batch {row.case.batch} · {row.case.input_tokens} in · {row.case.output_tokens} out"
    if row.figures is None:
        return f"{case} · {row.reason}"
    speed = row.figures.output_tokens_per_s
    return f"{case} · {row.repeat}/{plan.repeats} · {speed:.1f} tok/s over all"


def _report(loaded: Bench, plan: Plan, rows: list[Row], output: str) -> str:
    here, roofline = _environment(loaded), loaded.measured_again()
    if output == "json":
        return to_json(here, rows, roofline)
    return to_markdown(here, plan, rows, roofline)


def _profile_report(loaded: Bench, plan: Plan, output: str) -> str:
    from localfp4.bench.profile import profile_case

    outcomes: Outcomes = []
    for case in plan.cases:
        note(f"profiling batch {case.batch} · {case.input_tokens} in")
        try:
            outcomes.append((case, profile_case(loaded, case, plan.seed)))
        except CaseFailedError as error:
            outcomes.append((case, str(error)))
    write = profiles_to_json if output == "json" else profiles_to_markdown
    return write(_environment(loaded), loaded.engine.info, loaded.roofline.limits, outcomes)


def _host_report(loaded: Bench, config: EngineConfig, seed: int, output: str) -> str:
    from localfp4.bench.host import host_costs

    try:
        costs = list(host_costs(loaded, config, seed))
    except CaseFailedError as error:
        raise UserError(f"The batch cannot be run: {error}; leave --ctx out.") from error
    write = costs_to_json if output == "json" else costs_to_markdown
    return write(_environment(loaded), loaded.engine.info, loaded.roofline.limits, costs)


def _environment(loaded: Bench) -> Environment:
    import torch

    device = loaded.engine.info.device
    return environment(torch.get_num_threads(), None if device == "cpu" else device)
