"""``localfp4 stop``: end servers that run on this computer."""

from collections.abc import Sequence

import click

from localfp4.cli.completing.values import server_names
from localfp4.cli.option_types import Finite
from localfp4.cli.serve.listing import open_registry
from localfp4.errors import UserError
from localfp4.server.registry.registry import Listed
from localfp4.text.sanitize import sanitize


@click.command()
@click.argument("which", required=False, metavar="[MODEL|PORT|PID]", shell_complete=server_names)
@click.option("--all", "stop_all", is_flag=True, help="End every server.")
@click.option(
    "--timeout",
    type=Finite(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for answers under way.",
)
def stop(which: str | None, stop_all: bool, timeout: float) -> None:
    """End a server: the only one, or that of a MODEL, a PORT or a process.

    Answers that are being written are finished first, for as long as the server was told to wait.
    """
    if stop_all and which is not None:
        raise click.UsageError(f"--all ends every server; leave '{which}' or --all out.")
    servers = open_registry().servers()
    chosen = servers if stop_all else [_chosen(servers, which)]
    if not chosen:
        click.echo("No server runs.", err=True)
    for one in chosen:
        one.ask_to_stop()
    for one in chosen:
        _wait(one, timeout)


def _chosen(servers: Sequence[Listed], which: str | None) -> Listed:
    """Return the server that is meant.

    Raises:
        UserError: There is none, or there are several.
    """
    if not servers:
        raise UserError("No server runs; `localfp4 serve MODEL` starts one.")
    meant = [one for one in servers if which is None or which in _names(one)]
    if not meant:
        raise UserError(f"No server is called '{which}'; there are {_listed(servers)}.")
    if len(meant) > 1:
        raise UserError(
            f"{len(meant)} servers could be meant: {_listed(meant)}; name one by its port, or add "
            "--all."
        )
    return meant[0]


def _names(one: Listed) -> tuple[str, ...]:
    return (one.server.model, str(one.server.port), str(one.server.process_id), one.server.url)


def _listed(servers: Sequence[Listed]) -> str:
    return ", ".join(_described(one) for one in servers)


def _described(one: Listed) -> str:
    return f"{one.server.model} at {one.server.url}"


def _wait(one: Listed, timeout_s: float) -> None:
    if not one.wait_until_ended(timeout_s):
        raise UserError(
            f"{_described(one)} is still writing answers after {timeout_s:g} seconds; wait, or end "
            f"process {one.server.process_id}."
        )
    click.echo(sanitize(f"stopped {_described(one)}"))
