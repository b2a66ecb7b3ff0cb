"""``localfp4 serve``: a model for other programs, over HTTP."""

import sys
from dataclasses import replace
from typing import Any

import click

from localfp4.checkpoint.hub import DEMO
from localfp4.checkpoint.names.spelling import own_name
from localfp4.cli.completing.values import model_names
from localfp4.cli.model_name import meant
from localfp4.cli.options import (
    engine_config,
    engine_options,
    sampling_options_but_system,
    thinking_options,
)
from localfp4.cli.serve.extra import require_extra
from localfp4.cli.serve.options import distribution_options, server_options, server_settings
from localfp4.config import EngineConfig
from localfp4.server.clients.configuration import CLIENTS, Endpoint, configuration
from localfp4.server.settings import ServerSettings, url_for
from localfp4.settings import read_settings


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[-- VLLM_OPTIONS]")
@server_options
@click.option(
    "--for",
    "client",
    type=click.Choice(CLIENTS),
    help="Print what makes a program use this server, and start none.",
)
@distribution_options
@engine_options
@sampling_options_but_system
@thinking_options
def serve(
    model: str | None, extra: tuple[str, ...], client: str | None, engine: str, **options: Any
) -> None:
    """Serve MODEL, by default the bundled demo, to programs that speak OpenAI's or Anthropic's API.

    The address is http://127.0.0.1:8000/v1 for OpenAI's, and http://127.0.0.1:8000 for Anthropic's.
    What is given here of sampling and thinking holds for requests that say nothing of it. Ctrl-C
    lets answers under way come to their end; a second one ends them.
    """
    if model is not None and model.startswith("-"):  # what follows -- where no model is named
        extra, model = (model, *extra), None
    called = model or DEMO
    # A name of the user's own may stand for a folder, whose place is nobody else's business.
    own = own_name(called, read_settings().aliases)
    settings = server_settings(options, names=() if own is None else (own,))
    config = replace(engine_config(meant(called), options), max_batch=options["max_batch"])
    if client is not None:
        click.echo(configuration(client, _endpoint(config, settings)))
        return
    if engine == "vllm":
        from localfp4.cli.serve.hand_over import hand_over

        raise click.exceptions.Exit(hand_over(config, settings, options, extra))
    _refuse_what_is_for_vllm(options, extra)
    require_extra()
    from localfp4.cli.serve.go import serve_here

    serve_here(config, settings, options)


def _endpoint(config: EngineConfig, settings: ServerSettings) -> Endpoint:
    """Return where programs will find the server.

    Raises:
        UsageError: That is not known before it listens.
    """
    if settings.port == 0:
        raise click.UsageError("--for writes down an address: choose a --port instead of 0.")
    return Endpoint(
        url=url_for(settings.host, settings.port),
        model=settings.name_of(config.model),
        key=settings.api_key,
        context=None if config.shortens_context else config.max_model_len,
        shell="powershell" if sys.platform == "win32" else "posix",
    )


def _refuse_what_is_for_vllm(options: dict[str, Any], extra: tuple[str, ...]) -> None:
    """Refuse what localfp4's own engine would not heed.

    Raises:
        UsageError: There is some of it.
    """
    if extra:
        raise click.UsageError(
            f"'{extra[0]}' is one argument too many; what follows -- is passed on to vLLM, and "
            "needs --engine vllm."
        )
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "dry_run"):
        if options[name]:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is for vLLM: add --engine vllm, or leave it out."
            )
