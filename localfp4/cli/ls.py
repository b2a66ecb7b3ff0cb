"""``localfp4 ls``: the models on this computer, or those with a short name to download."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from localfp4.backend.installed import InstalledModel, installed
from localfp4.checkpoint.hub import DEMO
from localfp4.checkpoint.names.aliases import ALIASES, alias_of
from localfp4.checkpoint.store.cache import hub_cache, repositories
from localfp4.cli.failure import remark
from localfp4.cli.ls_table import installed_lines, known_lines, summary
from localfp4.errors import UserError
from localfp4.settings import Settings, read_settings
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_OF_OTHERS = ("unsupported", "other")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also list what cannot be run, and why.")
@click.option("--known", is_flag=True, help="List the models with a short name, to download.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ls(everything: bool, known: bool, as_json: bool) -> None:
    """List the models on this computer: the demo, downloads, and folders of the settings.

    Downloads are those of the Hugging Face cache, which other programs share. A name of the first
    column is what every command takes as MODEL.
    """
    if known and everything:
        raise click.UsageError("--known lists what is to be had, --all what is here; choose one.")
    settings = _settings()
    found = installed(settings.folders, settings.aliases)
    if known:
        _list_known({model.name for model in found if model.state == "ready"}, as_json=as_json)
        return
    others = [model for model in found if model.state in _OF_OTHERS and model.origin == "cache"]
    listed = [model for model in found if everything or model not in others]
    if as_json:
        _print_object([_row(model) for model in listed])
        return
    click.echo("\n".join(installed_lines(listed, time.time())))
    _say_more(listed, 0 if everything else len(others))


def _list_known(here: set[str], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "alias": one.name,
                "name": one.repo_id,
                "weight_format": one.weights or None,
                "size_bytes": one.size_bytes,
                "is_here": one.repo_id in here,
            }
            for one in ALIASES
        ]
        _print_object(rows)
    else:
        click.echo("\n".join(known_lines(ALIASES, here)))


def _say_more(listed: Sequence[InstalledModel], hidden: int) -> None:
    """Tell on standard error what the table has no room for."""
    for model in listed:
        if model.state == "damaged":
            again = f"; `localfp4 pull {model.name} --verify` mends it"
            what = model.remark.partition(";")[0]
            remark(f"{model.name}: {what}{again if model.origin == 'cache' else ''}.")
    if not sys.stdout.isatty():
        return
    stored = sum(store.bytes_on_disk() for store in repositories())
    click.echo(click.style(summary(listed, stored, hub_cache(), hidden), dim=True), err=True)
    if any(model.state == "unfinished" for model in listed):
        remark(
            "`localfp4 pull NAME` goes on with a download, and `localfp4 rm --unfinished` deletes "
            "what has arrived."
        )
    if all(model.name == DEMO for model in listed):
        remark("`localfp4 ls --known` lists what `localfp4 pull NAME` downloads.")


def _settings() -> Settings:
    """Return the settings; a file that is wrong is told, and the cache is listed all the same."""
    try:
        return read_settings()
    except UserError as error:
        remark(str(error))
        return Settings()


def _row(model: InstalledModel) -> dict[str, Any]:
    used = model.used_s
    alias = alias_of(model.name)
    return {
        "name": model.name,
        "alias": model.alias or (alias.name if alias else None),
        "state": model.state,
        "origin": model.origin,
        "weight_format": model.weight_format or None,
        "size_bytes": model.size_bytes,
        "present_bytes": model.present_bytes if model.state == "unfinished" else model.size_bytes,
        "used_at": None
        if used is None
        else datetime.fromtimestamp(used, UTC).isoformat("T", "seconds"),
        "path": str(model.folder),
        "remark": model.remark or None,
    }


def _print_object(rows: list[dict[str, Any]]) -> None:
    click.echo(json.dumps({"environment": asdict(environment(usable_cores())), "rows": rows}))
