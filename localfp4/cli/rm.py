"""``localfp4 rm``: delete models from the cache of the hub, and only from there."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from localfp4.checkpoint.display import shown, size
from localfp4.checkpoint.hub import DEMO, locate
from localfp4.checkpoint.store.cache import model_at, repository
from localfp4.checkpoint.store.removal import Removal, removal, remove, unfinished_removals
from localfp4.checkpoint.store.snapshot import HubModel
from localfp4.cli.completing.values import cached_names
from localfp4.cli.failure import remark
from localfp4.cli.model_name import meant
from localfp4.cli.serve.listing import open_registry
from localfp4.errors import UserError
from localfp4.text.sanitize import sanitize


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, shell_complete=cached_names)
@click.option(
    "--unfinished",
    is_flag=True,
    help="Delete only what downloads that broke off have left; without MODEL, of all.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(models: Sequence[str], unfinished: bool, yes: bool) -> None:
    """Delete downloaded models.

    They are gone for every program that uses the Hugging Face cache. MODEL@REVISION deletes that
    version alone, and what others share with it stays. Folders of your own are never deleted.
    """
    if not models and not unfinished:
        raise click.UsageError("Name the models to delete, or say --unfinished.")
    wanted = list(dict.fromkeys(_downloaded(name) for name in models))
    doomed = _planned(wanted, unfinished=unfinished)  # all can be deleted, or none is
    if not doomed:
        remark("no download has broken off, so nothing was deleted.")
        return
    _refuse_what_runs(doomed)
    if not yes and not _confirmed(doomed, unfinished=unfinished):
        remark("nothing was deleted.")
        return
    for one in doomed:
        remove(one)
        click.echo(f"deleted {one.name}: {size(one.freed_bytes)} are free again")


def _planned(wanted: Sequence[HubModel], *, unfinished: bool) -> list[Removal]:
    if unfinished:
        return unfinished_removals(model.repo_id for model in wanted)
    return [removal(model) for model in wanted]


def _downloaded(name: str) -> HubModel:
    """Return the model of the hub that a user means.

    Raises:
        UserError: It is none that was downloaded.
    """
    model = meant(name)
    if model == DEMO:
        raise UserError("demo is a part of localfp4, and is not deleted.")
    found = locate(model)
    if isinstance(found, HubModel):
        return found
    if not isinstance(found, Path):
        raise UserError(f"{shown(model)} is made up, and takes no room on the disk.")
    if (inside := model_at(found)) is not None:
        return HubModel(*inside)
    if not (found / "config.json").is_file():
        raise UserError(f"{shown(found)} is no model; name one that `localfp4 ls` lists.")
    raise UserError(
        f"{shown(found)} is a folder of your own, which localfp4 does not delete; "
        f"`{_by_hand(found)}` does."
    )


def _by_hand(folder: Path) -> str:
    if sys.platform == "win32":
        quoted = shown(folder).replace("'", "''")  # between double ones, PowerShell reads $
        return f"Remove-Item -Recurse -LiteralPath '{quoted}'"
    else:
        return f"rm -r {shlex.quote(shown(folder))}"


def _refuse_what_runs(doomed: Iterable[Removal]) -> None:
    """Refuse to delete what a server has loaded.

    Raises:
        UserError: One has.
    """
    stores = {one.store.folder: one.name for one in doomed}
    for listed in open_registry().servers():
        server = listed.server
        folder = _store_of(server.source or server.model)
        if folder in stores:
            raise UserError(
                f"{stores[folder]} is served at {server.url}; end that first: "
                f"`localfp4 stop {server.process_id}`."
            )


def _store_of(model: str) -> Path | None:
    """Return the repository that a server's model is of; ``None`` where it is of none."""
    try:
        found = locate(meant(model))
    except UserError:
        return None
    if isinstance(found, HubModel):
        return repository(found.repo_id).folder
    inside = model_at(found) if isinstance(found, Path) else None
    return repository(inside[0]).folder if inside else None


def _confirmed(doomed: Sequence[Removal], *, unfinished: bool) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("Nobody can be asked whether to delete for good; say --yes.")
    if len(doomed) > 1:
        for one in doomed:
            click.echo(f"  {size(one.freed_bytes):>9}  {sanitize(one.name)}")
    total = size(sum(one.freed_bytes for one in doomed))
    what = sanitize(doomed[0].name) if len(doomed) == 1 else f"these {len(doomed)}"
    parts = "what has arrived of " if unfinished else ""
    return click.confirm(f"Delete {parts}{what} for good ({total})?")
