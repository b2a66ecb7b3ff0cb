"""Serving a model with localfp4's own engine, and telling on the terminal what happens."""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

import click

from localfp4.checkpoint.hub import locate
from localfp4.cli.failure import remark
from localfp4.cli.options import chosen_sampling, chosen_thinking
from localfp4.cli.progress import describe, overwrite
from localfp4.cli.serve.listing import listed
from localfp4.cli.serve.log import log_to_standard_error
from localfp4.config import EngineConfig
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.server.defaults import Defaults
from localfp4.server.dialects import DIALECTS
from localfp4.server.http.run import Ending, Happening, HttpServer, Listening
from localfp4.server.registry.registry import Membership, RunningServer
from localfp4.server.settings import ServerSettings
from localfp4.text.sanitize import sanitize

_LOOK_S = 0.5


def serve_here(config: EngineConfig, settings: ServerSettings, options: Mapping[str, Any]) -> None:
    """Serve until a signal, or until `localfp4 stop`.

    Raises:
        UserError: The model cannot be loaded, or the server cannot listen where it shall.
    """
    defaults = Defaults(chosen_sampling(options), **chosen_thinking(options))
    locate(config.model)
    log_to_standard_error()
    server = HttpServer(config, settings, DIALECTS, defaults=defaults)
    asyncio.run(_follow(server, config, settings))


async def _follow(server: HttpServer, config: EngineConfig, settings: ServerSettings) -> None:
    """Tell what happens, and list the server for the time it listens."""
    url, name = "", settings.name_of(config.model)
    async with AsyncExitStack() as until_the_end:
        happenings = await until_the_end.enter_async_context(aclosing(server.run()))
        async for happening in happenings:
            if isinstance(happening, Listening):
                url = happening.url
                this = RunningServer(os.getpid(), name, url, "localfp4", time.time(), config.model)
                membership = until_the_end.enter_context(listed(this))
                waiting = asyncio.create_task(_end_when_asked(server, membership))
                until_the_end.callback(waiting.cancel)
            _tell(happening, name, url)


async def _end_when_asked(server: HttpServer, membership: Membership) -> None:
    while not membership.stop_requested():
        await asyncio.sleep(_LOOK_S)
    server.end()


def _tell(happening: Happening, name: str, url: str) -> None:
    match happening:
        case Listening():
            click.echo(f"listening at {url}, while {sanitize(name)} is loaded", err=True)
        case LoadProgress():
            overwrite(describe(happening, 0, 0.0))
        case ModelInfo():
            overwrite("")
            for note in happening.notes:
                remark(note)
            click.echo(_in_words(happening), err=True)
            click.echo(f"OpenAI's API: {url}/v1", err=True)
            click.echo(f"Anthropic's API: {url}", err=True)
        case Ending():
            overwrite("")
            click.echo(
                "ending: answers under way come to their end; Ctrl-C ends them now", err=True
            )


def _in_words(info: ModelInfo) -> str:
    return (
        f"ready: {sanitize(info.name)}, {info.weight_format} on {info.device}, context "
        f"{info.max_model_len}, KV cache {info.kv_cache_tokens} tokens"
    )
