"""``localfp4 chat``: the full-screen chat, or plain lines where there is no terminal for it."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from localfp4.checkpoint.hub import DEMO
from localfp4.cli.base_url import base_url_options, find_server, require_server_for_key
from localfp4.cli.completing.values import conversation_ids, model_names
from localfp4.cli.history_file import open_history
from localfp4.cli.model_name import meant
from localfp4.cli.options import (
    chosen_sampling,
    chosen_thinking,
    engine_config,
    engine_options,
    sampling_options,
    thinking_options,
)
from localfp4.errors import UserError
from localfp4.settings import Settings, read_settings

if TYPE_CHECKING:
    from localfp4.backend.local import LocalBackend
    from localfp4.backend.remote import RemoteBackend
    from localfp4.history import SavedConversation, SqliteHistory

    Talker = LocalBackend | RemoteBackend
    """Who answers: an engine here, or a server."""

NEWEST = "newest"


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@engine_options
@base_url_options
@sampling_options
@thinking_options
@click.option(
    "--ephemeral/--no-ephemeral", default=None, help="Do not save the conversation, or do."
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    metavar="[ID]",
    shell_complete=conversation_ids,
    help="Go on with a saved conversation: the newest, or one of `localfp4 history`.",
)
@click.option("--plain", is_flag=True, help="Plain lines instead of the full-screen chat.")
def chat(
    model: str | None,
    system: str | None,
    ephemeral: bool | None,
    resume: str | None,
    plain: bool,
    **options: Any,
) -> None:
    """Talk with MODEL, by default the bundled demo.

    With --base-url, MODEL is one of a server that speaks OpenAI's API; it may be left out where the
    server has only one. Without a terminal, each line of the input is a question, and the answers
    are the output. What is not given here is taken from the configuration file, if there is one.
    """
    require_server_for_key(options)
    settings = _settings(options, system=system, ephemeral=ephemeral)
    if resume is not None and settings.ephemeral:
        raise click.UsageError(
            "--resume goes on with a saved conversation, and an ephemeral one is not saved: add "
            "--no-ephemeral, or leave --resume out."
        )
    is_plain = plain or not _has_terminal()
    talk = _talk_in_lines if is_plain else _open_app
    with _history(settings.ephemeral) as history:
        resumed = None if resume is None or history is None else _saved(history, resume)
        if resumed is not None and system is not None:
            resumed = replace(resumed, system=system)
        backend: Talker
        if options["base_url"] is not None:
            backend = _served(model, options, settings, is_plain=is_plain)
        else:
            model = model or (resumed.model if resumed else None) or settings.model or DEMO
            backend = _local(model, options, settings, is_plain=is_plain)
        with closing(backend):
            code = talk(backend, settings, history, resumed)
    raise click.exceptions.Exit(code)


def _local(
    model: str, options: Mapping[str, Any], settings: Settings, *, is_plain: bool
) -> "LocalBackend":
    """Return a backend for a model that is run here.

    Raises:
        UserError: There is no such model, or an option is wrong.
    """
    from localfp4.backend.local import LocalBackend

    config = engine_config(meant(model), options)
    if is_plain:
        return LocalBackend(config, sampling=settings.sampling, thinking=_thinking(settings))
    return LocalBackend(config, folders=settings.folders, aliases=settings.aliases)


def _served(
    model: str | None, options: Mapping[str, Any], settings: Settings, *, is_plain: bool
) -> "RemoteBackend":
    """Return a backend for a model of a server that was found.

    Raises:
        UserError: It was not, or an option is wrong.
    """
    thinking = _thinking(settings) if is_plain else {}
    return find_server(model, options, sampling=settings.sampling, thinking=thinking)


def _saved(history: "SqliteHistory", which: str) -> "SavedConversation":
    """Return a conversation by its number, or the newest.

    Raises:
        UserError: There is none.
    """
    if which == NEWEST:
        newest = history.recent(1)
        if not newest:
            raise UserError("No conversation is saved yet; `localfp4 chat` begins one.")
        return history.load(newest[0].id)
    if not (which.isdecimal() and which.isascii() and len(which) < 10):
        raise click.UsageError(
            f"--resume takes the number of a conversation, not '{which}'; `localfp4 history` lists "
            "them, and a model is named before --resume."
        )
    return history.load(int(which))


def _settings(
    options: Mapping[str, Any], *, system: str | None, ephemeral: bool | None
) -> Settings:
    """Return the settings of the configuration file under those of the command line.

    Raises:
        UserError: The file cannot be used, or a value is out of range.
    """
    settings = read_settings()
    given: dict[str, Any] = {"system": system, "ephemeral": ephemeral, **chosen_thinking(options)}
    return replace(
        settings,
        sampling={**settings.sampling, **chosen_sampling(options)},
        **{name: value for name, value in given.items() if value is not None},
    )


def _thinking(settings: Settings) -> dict[str, Any]:
    return {"thinking": settings.thinking, "reasoning_effort": settings.reasoning_effort}


def _talk_in_lines(
    backend: "Talker",
    settings: Settings,
    history: "SqliteHistory | None",
    resumed: "SavedConversation | None",
) -> int:
    from localfp4.cli.plain import PlainChat

    return PlainChat(
        backend,
        model=backend.choice().model,
        history=history,
        system=None if resumed else settings.system,
        resumed=resumed,
    ).run()


def _open_app(
    backend: "Talker",
    settings: Settings,
    history: "SqliteHistory | None",
    resumed: "SavedConversation | None",
) -> int:
    from localfp4_tui.app import ChatApp

    model = backend.choice().model
    app = ChatApp(backend, model=model, history=history, settings=settings, resume=resumed)
    app.run()
    return app.return_code or 0


def _has_terminal() -> bool:
    """Say whether a full-screen application can be drawn and used."""
    streams = (sys.stdin, sys.stdout, sys.stderr)  # Textual draws on standard error
    is_terminal = all(stream is not None and stream.isatty() for stream in streams)
    return is_terminal and os.environ.get("TERM") != "dumb"


@contextmanager
def _history(ephemeral: bool) -> Iterator["SqliteHistory | None"]:
    """Open the history before anything can be lost for want of it.

    Raises:
        UserError: It cannot be written.
    """
    if ephemeral:
        yield None
        return
    with open_history() as history:
        yield history
