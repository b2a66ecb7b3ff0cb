"""``localfp4 bench --profile`` and ``--host``: where the time of a step goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.planning.lineup import lineup
from localfp4.bench.steps.host_result import costs_to_json, costs_to_markdown
from localfp4.bench.steps.profile_report import profiles_to_json, profiles_to_markdown
from localfp4.checkpoint.hub import download
from localfp4.cli.bench.wanted import Wanted
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.options import engine_config
from localfp4.cli.progress import load_visibly
from localfp4.cli.report_file import note
from localfp4.errors import UserError
from localfp4.models.here import machine_here
from localfp4.telemetry.environment import Environment, environment

if TYPE_CHECKING:
    from localfp4.bench.engines.ours import Ours
    from localfp4.bench.steps.profile_report import Outcomes
    from localfp4.bench.workload import Case
    from localfp4.config import EngineConfig


def look_inside(names: Sequence[str], chosen: Wanted, form: str, options: Mapping[str, Any]) -> str:
    """Return the report of a model in a format.

    Raises:
        UsageError: There are several, or the format of the report is none of these.
        UserError: It cannot be loaded, or cannot run in that format.
    """
    flag = "--profile" if options["profile"] else "--host"
    if len(names) * len(chosen.formats) != 1:
        raise click.UsageError(f"{flag} looks into one model in one format; name one.")
    if form not in ("md", "json"):
        raise click.UsageError(f"{flag} reports as md or json, not as {form}.")
    load_visibly(download(names[0]))
    config = engine_config(names[0], options)
    if options["host"]:
        return _host_report(config, options["seed"], form)
    return _profile_report(_runnable(config, chosen), chosen.cases, options["seed"], form)


def _runnable(config: EngineConfig, chosen: Wanted) -> EngineConfig:
    """Return what runs the format.

    Raises:
        UserError: Nothing does.
    """
    _, machine = machine_here(config.device)
    (seat,) = lineup([config.model], chosen.formats, config, machine)
    if seat.config is None:
        raise UserError(seat.reason)
    if seat.runs:
        note(f"what runs is {seat.runs}")
    return seat.config


def _profile_report(config: EngineConfig, cases: Sequence[Case], seed: int, form: str) -> str:
    with closing(_load(config, cases)) as loaded:
        from localfp4.bench.steps.profile import profile_case

        limits = loaded.limits()
        outcomes: Outcomes = []
        for case in cases:
            note(f"profiling batch {case.batch} · {case.input_tokens} in")
            try:
                outcomes.append((case, profile_case(loaded, case, seed)))
            except CaseFailedError as error:
                outcomes.append((case, str(error)))
        write = profiles_to_json if form == "json" else profiles_to_markdown
        return write(_environment(loaded), loaded.engine.info, limits, outcomes)


def _host_report(config: EngineConfig, seed: int, form: str) -> str:
    from localfp4.bench.steps.host import host_cases, host_costs

    # Nothing of the model is run, so that any computer's main memory will do.
    config = replace(config, device=config.device or "cpu")
    with closing(_load(config, host_cases())) as loaded:
        limits = loaded.limits()
        try:
            costs = list(host_costs(loaded, seed))
        except CaseFailedError as error:
            raise UserError(f"The batch cannot be run: {error}; leave --ctx out.") from error
        write = costs_to_json if form == "json" else costs_to_markdown
        return write(_environment(loaded), loaded.engine.info, limits, costs)


def _load(config: EngineConfig, cases: Sequence[Case]) -> Ours:
    """Build the engine; this imports torch."""
    with exit_on_interrupt():
        from localfp4.bench.engines.ours import Ours, load

        loaded = load_visibly(load(config, cases))
        assert isinstance(loaded, Ours)
        return loaded


def _environment(loaded: Ours) -> Environment:
    import torch

    device = loaded.engine.info.device
    return environment(torch.get_num_threads(), None if device == "cpu" else device)
