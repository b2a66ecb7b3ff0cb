"""``localfp4 ps``: the servers that run on this computer."""

import json
import time
from dataclasses import asdict

import click

from localfp4.cli.serve.listing import open_registry
from localfp4.errors import UserError
from localfp4.remote.address import parse_address
from localfp4.remote.health import health
from localfp4.remote.words import one_line
from localfp4.server.registry.registry import RunningServer

_PATIENCE_S = 1.0
_STATES = {200: "ready", 503: "not ready", None: "no answer"}
_HEADINGS = ("PID", "MODEL", "ADDRESS", "ENGINE", "UP", "STATE")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ps(as_json: bool) -> None:
    """List the servers that run on this computer."""
    servers = [one.server for one in open_registry().servers()]
    states = [_state(server) for server in servers]
    if as_json:
        listed = zip(servers, states, strict=True)
        click.echo(json.dumps([{**asdict(one), "state": state} for one, state in listed], indent=2))
        return
    if not servers:
        click.echo("No server runs; `localfp4 serve MODEL` starts one.", err=True)
        return
    rows = [_HEADINGS, *map(_row, servers, states)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _state(server: RunningServer) -> str:
    """Return what a server says of its health, in words; takes a second or two at most."""
    try:
        status = health(parse_address(server.url), _PATIENCE_S)
    except UserError:  # written by hand, or by another version
        status = None
    return _STATES.get(status, f"answers with {status}")


def _row(server: RunningServer, state: str) -> tuple[str, ...]:
    up = age(time.time() - server.started_s)
    model, url, engine = map(one_line, (server.model, server.url, server.engine))
    return (str(server.process_id), model, url, engine, up, state)


def age(seconds: float) -> str:
    """Put how long something has run into words, such as ``3 min``."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
