"""What users call models, the same on every command: by names of their own, or by anybody's."""

import logging

from localfp4.checkpoint.hub import DEMO, recognise
from localfp4.checkpoint.names.aliases import ALIASES, alias_named, is_spelled_out
from localfp4.checkpoint.names.spelling import own_name
from localfp4.checkpoint.store.snapshot import HubModel
from localfp4.cli.failure import remark
from localfp4.errors import UserError
from localfp4.settings import read_settings

_log = logging.getLogger(__name__)


def meant(name: str) -> str:
    """Return what the engine calls a model, without asking the network.

    Where a name says less than which model it is, such as ``qwen3``, or more, such as Ollama's
    ``qwen3:8b-q4_K_M``, what it is taken for is told on standard error.

    Args:
        name: What the user typed or pasted, however it is spelled.

    Raises:
        UserError: There is no such model, or the configuration file cannot be used.
    """
    settings = read_settings()
    own = own_name(name, settings.aliases)
    if own is not None:
        return _stood_for(own, settings.aliases[own])
    known = recognise(name, own=settings.aliases)
    _log.info("%s is %s", name, known.found)
    called, _, _ = name.partition("@")
    alias = alias_named(called) if isinstance(known.found, HubModel) else None
    if alias is not None and not is_spelled_out(called):
        remark(f"{name} is taken for {alias.name}: {alias.repo_id} ({alias.weights})")
    return known.name


def known_names() -> list[str]:
    """Return the names that may be completed: the demo, the user's own, and everybody's.

    What is wrong with the configuration file is told elsewhere.
    """
    try:
        own = list(read_settings().aliases)
    except UserError:
        own = []
    return list(dict.fromkeys([DEMO, *own, *(alias.name for alias in ALIASES)]))


def _stood_for(own: str, model: str) -> str:
    """Return what a name of the user's own stands for.

    Raises:
        UserError: That is no model.
    """
    try:
        return recognise(model).name
    except UserError as error:
        raise type(error)(f"{own} of [aliases] is {model!r}: {error}") from error
