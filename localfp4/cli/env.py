"""``localfp4 env``: this computer in Markdown or JSON, for a bug report; without secrets or names."""

import json
from dataclasses import asdict
from typing import Any

import click

from localfp4.cli.gathering import gathered
from localfp4.doctor.anonymous import anonymous, this_person
from localfp4.doctor.description import AREAS, described
from localfp4.doctor.facts import Facts
from localfp4.doctor.packages import package_versions
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import Environment, environment


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def env(as_json: bool) -> None:
    """Describe this computer for a bug report.

    Read it before you post it: there are no tokens, keys or user names in it, but the names of
    programs that hold the memory of a graphics card are. It takes seconds, since torch is imported
    and a kernel is compiled, and asks nothing of the network.
    """
    facts = gathered(asks_network=False, tries_kernels=True)
    packages, person = package_versions(), this_person()
    chosen = next((gpu.name for gpu in facts.gpus if gpu.is_chosen), None)
    here = environment(usable_cores(), chosen)
    if as_json:
        click.echo(json.dumps(anonymous(_as_object(facts, here, packages), person)))
    else:
        click.echo(anonymous("\n".join(described(facts, here, packages)), person))


def _as_object(facts: Facts, here: Environment, packages: dict[str, str]) -> dict[str, Any]:
    rows = [{"area": area, **asdict(getattr(facts, area))} for area in AREAS]
    rows += [{"area": "card", **asdict(gpu)} for gpu in facts.gpus]
    return {
        "environment": asdict(here),
        "rows": rows,
        "packages": packages,
        "variables": facts.variables,
        "settings_error": facts.settings_error,
        "gaps": list(facts.gaps),
    }
