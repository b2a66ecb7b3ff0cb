"""Options of ``localfp4 bench`` that contradict each other, refused before anything is loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from localfp4.cli.base_url import require_server_for_key
from localfp4.cli.bench.results import Extras

_OF_OWN_ENGINE = (
    "--precision",
    "--dry-run",
    "--profile",
    "--host",
    "--device",
    "--dtype",
    "--kernels",
    "--kv",
    "--ctx",
    "--vram-limit",
    "--speculate",
    "--draft",
    "--kv-ram",
    "--kv-disk",
    "--eager",
    "--threads",
)


def require_nothing_local(
    models: Sequence[str], synthetic: str | None, options: Mapping[str, Any]
) -> None:
    """Refuse what only an engine in this process can be asked for.

    Raises:
        UsageError: Something was.
    """
    own = [name for name in _OF_OWN_ENGINE if _is_given(name)]
    own += ["--synthetic"] if synthetic is not None else []
    if own:
        raise click.UsageError(
            f"{' and '.join(own)} {'says' if len(own) == 1 else 'say'} how to run a model here, and "
            "--base-url names a server that runs it: leave one of them out."
        )
    if len(models) > 1:
        raise click.UsageError(
            f"--base-url measures one model of a server, not {len(models)}; name one at a time."
        )
    if options["depth"] and any(options["depth"]):
        raise click.UsageError("--depth needs the model here; leave it or --base-url out.")


def require_sense(made: Extras, options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: Some do.
    """
    kinds = [name for name in ("dry_run", "profile", "host") if options[name]]
    if len(kinds) > 1:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in kinds)
        raise click.UsageError(f"{flags} are reports of their own; ask for one at a time.")
    if kinds and (options["resume"] or made.plots or made.share):
        flag = kinds[0].replace("_", "-")
        raise click.UsageError(
            f"--{flag} measures nothing that could be drawn or gone on with: leave --plot, --share "
            f"and --resume out, or --{flag}."
        )
    if options["gpu"] is not None and not options["dry_run"]:
        raise click.UsageError(
            "--gpu plans for a card that is not here: add --dry-run, or choose one that is here "
            "with --device cuda:0."
        )
    require_server_for_key(options)


def _is_given(option: str) -> bool:
    """Say whether an option stands on the command line."""
    context = click.get_current_context()
    (name,) = (one.name for one in context.command.params if option in one.opts)
    return name is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
