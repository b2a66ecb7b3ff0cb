"""The options of ``localfp4 serve``, and what they become."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import click

from localfp4.cli.from_settings import FromSettings
from localfp4.cli.option_types import Finite
from localfp4.server.settings import ServerSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])

_from_settings = partial(click.option, cls=FromSettings, section="server")

_LISTENING = (
    _from_settings("--host", default="127.0.0.1", show_default=True, help="Address to listen at; one that others can reach needs --api-key."),
    _from_settings("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen at; 0 takes a free one."),
    click.option("--api-key", envvar="LOCALFP4_API_KEY", metavar="KEY", help="What clients must know; better set LOCALFP4_API_KEY, which other programs cannot see."),
    _from_settings("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="Another name under which clients call this computer."),
    _from_settings("--cors-origin", "cors_origins", multiple=True, metavar="URL", help="A web page whose scripts may use the server."),
    click.option("--served-name", "served_names", multiple=True, metavar="NAME", help="What the model is called, also several times; by default what you called it."),
)  # fmt: skip

_ANSWERING = (
    _from_settings("--max-batch", type=click.IntRange(min=1), default=64, show_default=True, metavar="N", help="Most answers that are written at once."),
    _from_settings("--queue", type=click.IntRange(min=0), default=256, show_default=True, metavar="N", help="Most requests that may wait; more are told to come back."),
    _from_settings("--request-timeout", type=Finite(min=0, min_open=True), default=600.0, show_default=True, metavar="SECONDS", help="Longest time for one answer."),
    _from_settings("--drain-timeout", type=Finite(min=0), default=30.0, show_default=True, metavar="SECONDS", help="Time for answers under way when the server is ended."),
)  # fmt: skip


_DISTRIBUTION = (
    click.option("--engine", type=click.Choice(["localfp4", "vllm"]), default="localfp4", show_default=True, help="What computes: vllm starts vLLM, for several GPUs or computers."),
    click.option("--tensor-parallel-size", type=click.IntRange(min=1), metavar="N", help="GPUs that share each layer, with vllm."),
    click.option("--pipeline-parallel-size", type=click.IntRange(min=1), metavar="N", help="Groups of GPUs, or computers, that share the layers, with vllm."),
    click.option("--dry-run", is_flag=True, help="Print vLLM's command, and start nothing."),
)  # fmt: skip


def server_options(command: _Command) -> _Command:
    """Add the options that :func:`server_settings` reads, and ``--max-batch`` of the engine."""
    for option in reversed(_LISTENING + _ANSWERING):
        command = option(command)
    return command


def distribution_options(command: _Command) -> _Command:
    """Add the options that decide what computes, and where."""
    for option in reversed(_DISTRIBUTION):
        command = option(command)
    return command


def server_settings(options: Mapping[str, Any], names: tuple[str, ...] = ()) -> ServerSettings:
    """Return how the server listens.

    Args:
        options: Of the command line.
        names: What the model is called where no option says so; empty for what it is loaded by.

    Raises:
        UserError: It would be open to others without a key.
    """
    return ServerSettings(
        host=options["host"],
        port=options["port"],
        api_key=(options["api_key"] or "").strip() or None,  # HTTP strips it too
        allowed_hosts=options["allowed_hosts"],
        cors_origins=options["cors_origins"],
        served_names=options["served_names"] or names,
        queue=options["queue"],
        timeout_s=options["request_timeout"],
        drain_s=options["drain_timeout"],
    )
