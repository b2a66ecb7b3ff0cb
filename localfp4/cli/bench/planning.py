"""``localfp4 bench --dry-run``: what a run would be, on this computer or with another card."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from localfp4.bench.planning.dry_run import dry_run
from localfp4.bench.planning.dry_run_report import dry_run_to_json, dry_run_to_markdown
from localfp4.checkpoint.hub import find
from localfp4.cli.bench.header import method
from localfp4.cli.bench.wanted import Wanted
from localfp4.cli.chosen_machine import chosen_machine
from localfp4.cli.options import engine_config
from localfp4.telemetry.cards import card_named, card_of_device


def plan_only(names: Sequence[str], chosen: Wanted, form: str, options: Mapping[str, Any]) -> str:
    """Return what each cell needs, and what fits.

    Raises:
        UsageError: The format is none of a plan.
        UserError: A model is not here, or the card is unknown.
    """
    if form not in ("md", "json"):
        raise click.UsageError(f"A dry run is told as md or json, not as {form}.")
    for name in names:
        find(name)
    config, gpu = engine_config(names[0], options), options["gpu"]
    where, machine = chosen_machine(config, gpu)
    card = None
    if machine.is_gpu:
        card = card_named(gpu) if gpu else card_of_device(where, machine.total_bytes)
    how = method(chosen, options)
    found = dry_run(names, chosen.formats, chosen.cases, config, where, machine, card, how)
    return dry_run_to_json(found) if form == "json" else dry_run_to_markdown(found)
