"""``localfp4 pull``: downloads models into the Hugging Face cache, and checks every file."""

import json

import click

from localfp4.checkpoint.display import size
from localfp4.checkpoint.hub import locate
from localfp4.checkpoint.store.disk import check_space
from localfp4.checkpoint.store.plan import DownloadPlan
from localfp4.checkpoint.store.snapshot import (
    SIDE_BY_SIDE,
    HubModel,
    cached,
    download,
    planned,
)
from localfp4.checkpoint.store.verify import damaged_files, without
from localfp4.cli.completing.values import model_names
from localfp4.cli.download_progress import download_visibly
from localfp4.cli.failure import remark
from localfp4.cli.model_name import meant
from localfp4.cli.pull_report import Pulled, as_object, lines
from localfp4.errors import ModelNotFoundError
from localfp4.text.sanitize import sanitize

_MOST_JOBS = 16


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=model_names)
@click.option(
    "--dry-run", is_flag=True, help="Tell what would be downloaded, and download nothing."
)
@click.option("--verify", is_flag=True, help="Read what is here, too; what is damaged comes anew.")
@click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_JOBS),
    default=SIDE_BY_SIDE,
    show_default=True,
    help="Files to download at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def pull(models: tuple[str, ...], dry_run: bool, verify: bool, jobs: int, as_json: bool) -> None:
    """Download models, or go on with a download that was broken off.

    MODEL is a short name such as qwen3:8b, or a Hugging Face id such as org/name or org/name@rev.
    Files go to the Hugging Face cache, which other programs share (HF_HOME moves it), and each is
    compared with the hash that the hub lists.
    """
    if dry_run and verify:
        raise click.UsageError("--dry-run downloads nothing, --verify what is damaged; choose one.")
    asked = [(name, _plan(name, model, verify=verify)) for name, model in _named(models)]
    plans = [(name, plan) for name, plan in asked if plan is not None]
    if dry_run:
        results = [Pulled(name, plan) for name, plan in plans]
    else:
        check_space([plan for _, plan in plans])
        results = [_pulled(name, plan, jobs, verify=verify) for name, plan in plans]
    if as_json:
        click.echo(json.dumps(as_object(results)))
        return
    for result in results:
        click.echo("\n".join(map(sanitize, lines(result, was_verified=verify))))


def _named(models: tuple[str, ...]) -> list[tuple[str, HubModel]]:
    """Return the models of the hub among those that were named, each once."""
    found: dict[HubModel, str] = {}
    for name in models:
        source = locate(meant(name))
        if isinstance(source, HubModel):
            found.setdefault(source, name)
        else:
            remark(f"{name} needs no download.")
    return [(name, model) for model, name in found.items()]


def _plan(name: str, model: HubModel, *, verify: bool) -> DownloadPlan | None:
    """Return the plan, or ``None`` where the cache has to do since the hub cannot be asked.

    Raises:
        ModelNotFoundError: The hub cannot be asked, and the cache does not do.
    """
    try:
        return download_visibly(planned(model))
    except ModelNotFoundError as error:
        if cached(model) is None:
            raise
        if verify:
            raise ModelNotFoundError(
                f"{name} is here, but was not checked: the hub cannot be asked for its hashes; "
                "try again with a connection to it."
            ) from error
    remark(f"{name} is here, but the hub cannot be asked for its hashes or a newer version.")
    return None


def _pulled(name: str, plan: DownloadPlan, jobs: int, *, verify: bool) -> Pulled:
    try:
        damaged = download_visibly(damaged_files(plan)) if verify else ()
        folder = download_visibly(download(without(plan, damaged), side_by_side=jobs))
    except KeyboardInterrupt:
        here, total = size(plan.arrived_bytes), size(plan.total_bytes)
        remark(f"{here} of {total} are here; `localfp4 pull {name}` goes on from there.")
        raise
    return Pulled(name, plan, folder, damaged)
