"""Serving a model with vLLM."""

import os
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

import click

from localfp4.cli.failure import remark
from localfp4.cli.options import chosen_sampling, chosen_thinking
from localfp4.cli.serve.listing import listed
from localfp4.config import EngineConfig
from localfp4.server.defaults import Defaults
from localfp4.server.handover.command import Spread
from localfp4.server.handover.installed import find_vllm, require_ray
from localfp4.server.handover.prepare import prepare
from localfp4.server.handover.run import run
from localfp4.server.http.listening import listen
from localfp4.server.registry.registry import Membership, RunningServer
from localfp4.server.settings import ServerSettings, url_for
from localfp4.telemetry.choice import visible_gpus
from localfp4.telemetry.gpus import gpus

_LOOK_S = 0.5


def hand_over(
    config: EngineConfig,
    settings: ServerSettings,
    options: Mapping[str, Any],
    extra: Sequence[str],
) -> int:
    """Start vLLM, or print how, and return its exit code.

    Raises:
        UserError: vLLM cannot load the model, a setting has no equal there, or it is not installed.
    """
    spread = Spread(
        options["tensor_parallel_size"] or 1,
        options["pipeline_parallel_size"] or 1,
        gpus_here=len(visible_gpus(gpus())) or None,
    )
    defaults = Defaults(chosen_sampling(options), **chosen_thinking(options))
    prepared = prepare(config, settings, spread=spread, defaults=defaults, extra=extra)
    for note in prepared.notes:
        remark(note)
    if options["dry_run"]:
        if settings.api_key:
            remark("The key is not on the command line, which others see: set VLLM_API_KEY to it.")
        click.echo(shlex.join(prepared.command))
        return 0
    command = [find_vllm(), *prepared.command[1:]]
    require_ray(spread)
    # Before minutes of loading; and what else listens there would be taken for vLLM.
    listen(settings).close()
    url, name = url_for(settings.host, settings.port), settings.name_of(config.model)
    this = RunningServer(os.getpid(), name, url, "vllm", time.time(), config.model)
    with listed(this) as membership:
        Thread(target=_end_when_asked, args=(membership,), daemon=True).start()
        steps = run(command, prepared.environment, url)
        while True:
            try:
                click.echo(next(steps), err=True)
            except StopIteration as end:
                return int(end.value)


def _end_when_asked(membership: Membership) -> None:
    """Send this process what is passed on to vLLM, once `localfp4 stop` asks for its end."""
    while not membership.stop_requested():
        time.sleep(_LOOK_S)
    signal.raise_signal(signal.SIGTERM)  # os.kill would end this process on Windows unasked
