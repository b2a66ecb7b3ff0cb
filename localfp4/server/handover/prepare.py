"""From what a user calls a model to the command that serves it, with what was checked before."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localfp4.checkpoint.hub import locate
from localfp4.checkpoint.store.snapshot import HubModel, cached
from localfp4.config import EngineConfig
from localfp4.errors import UnsupportedModelError
from localfp4.server.defaults import Defaults
from localfp4.server.handover.check import check
from localfp4.server.handover.command import (
    Origin,
    Spread,
    vllm_command,
    vllm_environment,
)
from localfp4.server.handover.facts import read_facts
from localfp4.server.handover.installed import ray_hint
from localfp4.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A hand-over that can begin.

    Attributes:
        command: Arguments; the first is ``vllm``.
        environment: Variables that the process has besides; a key is among them.
        notes: What the user should know, a sentence each.
    """

    command: list[str]
    environment: dict[str, str]
    notes: tuple[str, ...] = ()


def prepare(
    config: EngineConfig,
    settings: ServerSettings,
    *,
    spread: Spread,
    defaults: Defaults,
    extra: Sequence[str] = (),
) -> Prepared:
    """Check a model, and say how vLLM is to serve it; nothing is downloaded or started.

    Args:
        config: The model as the user calls it, and how it is to be run.
        settings: How it is to be served.
        spread: Over what.
        defaults: What holds for requests that say nothing of it.
        extra: Arguments of vLLM's that are passed on as they are.

    Raises:
        UserError: There is no such model, vLLM cannot load it, or a setting has no equal in vLLM.
    """
    found = locate(config.model)
    notes = [hint] if (hint := ray_hint(spread)) else []
    match found:
        case HubModel():
            origin, folder = Origin(found.repo_id, found.revision), cached(found)
        case Path():
            origin, folder = Origin(str(found.resolve())), found
        case _:
            raise UnsupportedModelError(
                f"{config.model} has no weights that another program could load."
            )
    facts = None if folder is None else read_facts(folder)
    if facts is None:
        notes.append(
            f"{config.model} is not on this computer yet: vLLM downloads and checks it, and is not "
            "told how it writes tool calls and thoughts."
        )
    else:
        check(facts)
    command = vllm_command(
        origin, config, settings, facts, spread=spread, defaults=defaults, extra=extra
    )
    return Prepared(command, vllm_environment(settings), tuple(notes))
