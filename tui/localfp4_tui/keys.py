"""What the keys are called just now, read from the bindings, so that rebound keys show."""

from typing import Any

from textual.screen import Screen

_ORDER = ("trouble", "prompt", "chat", "app", "sheet")
"""First parts of the ids, in the order in which the help shows them."""


def key_table(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Return (keys, description) of every binding of ours that works on a screen now.

    Ours are those with an id: the ids are what a user rebinds.
    """
    keys: dict[str, list[str]] = {}
    descriptions: dict[str, str] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.id and binding.description:
            shown = screen.app.get_key_display(binding)
            keys.setdefault(binding.id, [])
            if shown not in keys[binding.id]:
                keys[binding.id].append(shown)
            descriptions[binding.id] = binding.description
    ids = sorted(keys, key=lambda id_: _ORDER.index(id_.partition(".")[0]))
    return [(" or ".join(keys[id_]), descriptions[id_]) for id_ in ids]


def key_name(screen: Screen[Any], binding_id: str) -> str:
    """Return the first key of a binding as it is displayed; empty where it has none now."""
    for active in screen.active_bindings.values():
        if active.binding.id == binding_id:
            return screen.app.get_key_display(active.binding)
    return ""
