"""``localfp4 doctor``: what is wrong on this computer, and how to mend it."""

import json
import os
import shutil
import sys
from dataclasses import asdict
from typing import Any

import click

from localfp4.cli.doctor_fix import mend
from localfp4.cli.gathering import gathered
from localfp4.doctor.checks.everything import all_findings
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import has_problem
from localfp4.doctor.gather.cards import card_facts
from localfp4.doctor.gather.surroundings import this_computer
from localfp4.doctor.report import as_object, in_words
from localfp4.doctor.style import Style, style_for
from localfp4.doctor.vram import as_rows
from localfp4.doctor.vram import in_words as vram_in_words
from localfp4.errors import RequestError
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_WIDEST = 100
"""Columns beyond which sentences are hard to read."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--vram", is_flag=True, help="Tell only which programs hold memory of the cards.")
@click.option(
    "--fix", is_flag=True, help="Run what mends something and needs no administrator; asks before."
)
@click.option("--yes", is_flag=True, help="With --fix, run it without asking.")
@click.option("--offline", is_flag=True, help="Do not ask whether the hub answers.")
@click.option("--quick", is_flag=True, help="Do not compile and run a kernel.")
def doctor(*, as_json: bool, vram: bool, fix: bool, yes: bool, offline: bool, quick: bool) -> int:
    """Find out what is wrong here, and how to mend it.

    Looks at the system, the driver, the graphics cards, PyTorch, Triton, where models are kept, the
    way to the hub and the terminal. Works where PyTorch is missing or broken. The exit code is 2
    where something cannot run until it is mended.
    """
    _check_options(as_json=as_json, vram=vram, fix=fix, yes=yes)
    if vram:
        return _tell_vram(as_json=as_json)

    def look() -> Facts:
        return gathered(asks_network=not offline, tries_kernels=not quick)

    facts = look()
    findings = all_findings(facts)
    if as_json:
        told = {"environment": _environment(facts)} | as_object(findings, facts.system.kind)
        click.echo(json.dumps(told, indent=2))
    else:
        style = _style()
        click.echo("\n".join(in_words(findings, facts.system.kind, style, _width())))
        if fix:
            findings = mend(facts, findings, look, style=style, width=_width(), asks=not yes)
    return 2 if has_problem(findings) else 0


def _check_options(*, as_json: bool, vram: bool, fix: bool, yes: bool) -> None:
    """Refuse combinations that mean nothing.

    Raises:
        RequestError: What was asked for cannot be done together.
    """
    if fix and (as_json or vram):
        raise RequestError(
            "--fix asks and shows what it does, so that it goes without --json and --vram."
        )
    if yes and not fix:
        raise RequestError("--yes is for --fix.")
    if fix and not yes and not sys.stdin.isatty():
        raise RequestError(
            "--fix asks before each command and needs a terminal; --yes does not ask."
        )


def _tell_vram(*, as_json: bool) -> int:
    cards = card_facts(this_computer())
    if as_json:
        found = {"environment": asdict(environment(usable_cores())), "rows": as_rows(cards)}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n".join(vram_in_words(cards, _style())))
    return 0


def _environment(facts: Facts) -> dict[str, Any]:
    chosen = next((gpu.name for gpu in facts.gpus if gpu.is_chosen), None)
    return asdict(environment(usable_cores(), chosen))


def _style() -> Style:
    """Return how to write on standard output; colours only on a terminal (no-color.org)."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    has_colours = sys.stdout.isatty() and not is_plain
    return style_for(sys.stdout.encoding or "ascii", has_colours=has_colours)


def _width() -> int:
    return min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
