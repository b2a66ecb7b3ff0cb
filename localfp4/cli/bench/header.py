"""What a run is asked for, as its record says it."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import click

from localfp4.bench.records import Method, Series
from localfp4.bench.running.lines import Header
from localfp4.cli.bench.go import Field
from localfp4.cli.bench.wanted import Wanted
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_DECISIVE = (
    "device",
    "dtype",
    "kernels",
    "threads",
    "ctx",
    "vram_limit",
    "eager",
    "speculate",
    "draft",
    "base_url",
    "bf16",
)
"""Options that decide on who or what is measured, and how fast that is, beside those of a method."""


def method(chosen: Wanted, options: Mapping[str, Any]) -> Method:
    """Return how it is measured, with the command line that does it again."""
    return Method(
        command=_command_line(),
        repeats=chosen.repeats,
        warmup=chosen.warmup,
        seed=options["seed"],
        ignore_eos=options.get("ignore_eos", True),
        budget_s=chosen.budget_s,
        kv=options.get("kv", "auto"),
    )


def header(
    field: Field, chosen: Wanted, how: Method, gpu: str | None, options: Mapping[str, Any]
) -> Header:
    """Return the first line of a record.

    Args:
        field: Who runs and who cannot.
        chosen: What is run.
        how: How it is measured.
        gpu: Name of the card; ``None`` on a CPU, and for a server.
        options: Of the command.
    """
    decisive = {name: options[name] for name in _DECISIVE if options.get(name) is not None}
    return Header(
        environment=environment(options.get("threads") or usable_cores(), gpu),
        method=how,
        series=_all_series(field),
        cases=chosen.cases,
        options=decisive,
    )


def _all_series(field: Field) -> tuple[Series, ...]:
    series: Iterable[Series] = (
        *(entrant.series for entrant in field.entrants),
        *(row.series for row in field.refused),
    )
    return tuple(dict.fromkeys(series))


def _command_line() -> str:
    """Return what the user typed, which holds no secret: keys are named, not given."""
    typed = click.get_current_context().find_root().obj or ()
    return shlex.join(("localfp4", *typed))
