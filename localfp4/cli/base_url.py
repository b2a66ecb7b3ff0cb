"""Options for models that a server has, and the server that they name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from localfp4.cli.options import engine_options
from localfp4.cli.progress import load_visibly
from localfp4.remote.address import parse_address
from localfp4.remote.key import OPENAI_VARIABLE, OWN_VARIABLE, key_for

if TYPE_CHECKING:
    from localfp4.backend.remote import RemoteBackend

_Command = TypeVar("_Command", bound=Callable[..., Any])


def base_url_options(command: _Command) -> _Command:
    """Add the options that :func:`find_server` reads."""
    key = click.option(
        "--api-key-env",
        metavar="NAME",
        help="Environment variable with the key of that server; by default "
        f"{OPENAI_VARIABLE} for OpenAI itself, and {OWN_VARIABLE} for this computer.",
    )
    address = click.option(
        "--base-url",
        metavar="URL",
        help="Ask an OpenAI-compatible server instead, such as localhost:8000.",
    )
    return address(key(command))


def find_server(
    model: str | None,
    options: Mapping[str, Any],
    *,
    sampling: Mapping[str, Any],
    thinking: Mapping[str, Any],
) -> "RemoteBackend":
    """Ask the server that was named what it has, telling on standard error if it has to load.

    Args:
        model: What to ask it for; ``None`` takes the only one that it has.
        options: Of the command line.
        sampling: Fields of ``SamplingParams`` that take precedence over the server's own.
        thinking: Fields of a request that say how much the model reasons.

    Raises:
        UsageError: Options that only concern models that are run here were given.
        UserError: The server cannot be reached, or the model has to be named.
    """
    from localfp4.backend.remote import RemoteBackend

    _refuse_engine_options()
    address = parse_address(options["base_url"])
    backend = RemoteBackend(
        address,
        model=model,
        key=key_for(address, options["api_key_env"]),
        sampling=sampling,
        thinking=thinking,
    )
    load_visibly(backend.load())
    return backend


def require_server_for_key(options: Mapping[str, Any]) -> None:
    """Refuse a key without a server that it is for.

    Raises:
        UsageError: There is one.
    """
    if options["api_key_env"] is not None and options["base_url"] is None:
        raise click.UsageError("--api-key-env is for the server that --base-url names; add that.")


def _refuse_engine_options() -> None:
    """Refuse what only an engine here could heed, rather than leave it unheeded."""
    context = click.get_current_context()
    ours = {one.name for one in engine_options(click.Command(None)).params}
    for one in context.command.params:
        given = one.name is not None and context.get_parameter_source(one.name)
        if one.name in ours and given is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{one.opts[0]} is for models that are run here, and --base-url names a server "
                "that runs it: leave one of them out."
            )
