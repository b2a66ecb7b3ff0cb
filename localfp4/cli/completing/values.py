"""What may stand for arguments and options: models, cards, servers, conversations.

Each is a ``shell_complete`` of click. None asks the network, and what they need is imported only
when they are called. Nothing that fails here is told: a shell only waits for words.
"""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

_Items = list[CompletionItem]


def model_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return models that can be named: those here, and those with a short name; else folders."""
    from localfp4.cli.model_name import known_names

    here = _names_here()
    found = _matching([*here, *known_names()], incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def cached_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return models that are in the cache of the hub."""
    return _matching(_names_here(), incomplete)


def first_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return models, for a first word that may be one and whose others are a prompt."""
    return [] if ctx.params.get(str(param.name)) else model_names(ctx, param, incomplete)


def card_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return graphics cards by what stands behind the maker's name, such as ``4060-ti``."""
    from localfp4.telemetry.cards import CARDS

    words = ("geforce ", "rtx ", "nvidia ")
    names = []
    for card in CARDS:
        name = card.name.lower()
        for word in words:
            name = name.removeprefix(word)
        names.append((name.replace(" ", "-"), card.name))
    return _explained(names, incomplete)


def synthetic_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return the published models whose shapes are known."""
    from localfp4.checkpoint.synthetic.catalogue import CATALOGUE

    return _matching(CATALOGUE, incomplete)


def server_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return the ports and processes of the servers that run."""
    from localfp4.cli.serve.listing import open_registry

    named: list[tuple[str, str]] = []
    for listed in open_registry().servers():
        server = listed.server
        named += [(str(server.port), server.model), (str(server.process_id), server.model)]
    return _explained(named, incomplete)


def conversation_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Return the newest conversations, with their titles."""
    from localfp4.cli.history_file import history_path, open_history

    if not history_path().exists():
        return []
    with open_history() as history:
        recent = history.recent(20)
    return _explained([(str(one.id), one.title) for one in recent], incomplete)


def _names_here() -> list[str]:
    """Return what the cache has, by all names, without looking into files."""
    from localfp4.checkpoint.names.aliases import alias_of
    from localfp4.checkpoint.store.cache import repositories
    from localfp4.checkpoint.store.versions import begun, whole_versions

    names = []
    for store in repositories():
        alias = alias_of(store.repo_id)
        whole = whole_versions(store)
        if whole or begun(store) is not None:
            names += [alias.name] if alias else []
            names += [store.repo_id, *(version.name for version in whole if not version.is_main)]
    return names


def _matching(names: Iterable[str], incomplete: str) -> _Items:
    return _explained([(name, "") for name in names], incomplete)


def _explained(named: Iterable[tuple[str, str]], incomplete: str) -> _Items:
    """Return those that begin as a word does, each once, however they are capitalised."""
    from localfp4.checkpoint.display import shown

    begun = incomplete.lower()
    found = {name: about for name, about in named if name.lower().startswith(begun)}
    return [CompletionItem(name, help=shown(about) or None) for name, about in found.items()]
