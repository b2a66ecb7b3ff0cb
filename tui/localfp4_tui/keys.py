"""The keys as they are bound: their names, their help, and whether what a user wants is possible.

All of it is read from the bindings that have an id: ids are what a user rebinds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import combinations, groupby
from pathlib import Path
from string import digits
from typing import Any

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, key_to_character
from textual.screen import Screen

from localfp4.settings import SettingsError

Chain = Sequence[type[DOMNode]]
"""Classes whose bindings are active together, the outermost first."""

GROUPS = {
    "prompt": "Writing",
    "completion": "While there are suggestions",
    "chat": "Chat",
    "turn": "On a selected turn",
    "heat": "Where tokens are shaded",
    "app": "Everywhere",
    "trouble": "When there is no engine",
}
"""First parts of ids, in the order of the help; others follow under their own names."""

_MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
_NAMES = {key.value for key in Keys if key.value.isidentifier()}
_SENT_AS = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+h": "backspace", "return": "enter"}
"""What terminals cannot tell from another key."""

_WHILE_TYPING = ("prompt.", "chat.", "app.")
_EDITING = ("backspace", "delete", "enter", "space", "left", "right", "home", "end")


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """A line of the help: the id of a binding, its keys as they are shown, and what it does."""

    id: str
    keys: str
    description: str


def bindings_of(owner: type[DOMNode]) -> list[Binding]:
    """Return the bindings with an id that a class of ours and its bases have, one per key."""
    return [
        binding
        for base in owner.__mro__
        if base.__module__.startswith("localfp4_tui")
        for binding in Binding.make_bindings(base.__dict__.get("BINDINGS", ()))
        if binding.id
    ]


def key_help(
    chains: Iterable[Chain], keymap: Mapping[str, str], display: Callable[[Binding], str]
) -> list[tuple[str, list[KeyHelp]]]:
    """Return headings, and what the keys under each of them do.

    Args:
        chains: Whatever can be active.
        keymap: Keys that the user has chosen, by id.
        display: How a key is shown.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    for owner in dict.fromkeys(owner for chain in chains for owner in chain):
        for binding in bindings_of(owner):
            if not binding.description:
                continue
            keys, descriptions = found.setdefault(str(binding.id), ([], []))
            for rebound in _rebound(binding, keymap):
                if (shown := display(rebound)) not in keys:
                    keys.append(shown)
            descriptions.append(binding.description)
    groups: dict[str, list[KeyHelp]] = {group: [] for group in GROUPS}
    for id_, (keys, descriptions) in found.items():
        line = KeyHelp(id_, " or ".join(keys), descriptions[0])
        groups.setdefault(id_.partition(".")[0], []).append(line)
    return [
        (GROUPS.get(name, name.title()), _numbered_together(lines))
        for name, lines in groups.items()
        if lines
    ]


def key_name(screen: Screen[Any], binding_id: str) -> str:
    """Return the first key of a binding as it is displayed; empty where it has none now."""
    for active in screen.active_bindings.values():
        if active.binding.id == binding_id:
            return screen.app.get_key_display(active.binding)
    return ""


def checked_keymap(
    keys: Mapping[str, str], chains: Sequence[Chain], source: Path | None
) -> dict[str, str]:
    """Return the keys that a user has chosen, as Textual takes them.

    Args:
        keys: Id of a binding to its keys, separated by commas.
        chains: Which classes have bindings, and which of them are active together.
        source: The file that says so.

    Raises:
        SettingsError: There is no such id or no such key, or a key would do two things at once.
    """
    known = {str(b.id) for chain in chains for owner in chain for b in bindings_of(owner)}
    keymap: dict[str, str] = {}
    for id_, listed in keys.items():
        if id_ not in known:
            close = get_close_matches(id_, sorted(known), n=1)
            hint = f"did you mean {close[0]}?" if close else "F1 in the chat shows what there is."
            raise SettingsError(f"{source} gives a key to {id_}, and nothing has that id; {hint}")
        try:
            keymap[id_] = ",".join(_checked_key(key, id_) for key in listed.split(","))
        except ValueError as error:
            raise SettingsError(f"{source} gives {id_} a key that cannot be: {error}") from None
    _check_clashes(keymap, chains, source)
    return keymap


def _numbered_together(lines: list[KeyHelp]) -> list[KeyHelp]:
    """Put the lines of ids that only differ in a number at their end into one."""
    together: list[KeyHelp] = []
    for _, group in groupby(lines, key=lambda line: line.id.rstrip(digits)):
        first, *rest = group
        if not rest:
            together.append(first)
            continue
        last = rest[-1]
        id_, keys = f"{first.id} … {last.id[-1]}", f"{first.keys} … {last.keys}"
        together.append(KeyHelp(id_, keys, f"{first.description} … {last.id[-1]}"))
    return together


def _rebound(binding: Binding, keymap: Mapping[str, str]) -> list[Binding]:
    """Return a binding as it is with a keymap, once per key."""
    chosen = keymap.get(str(binding.id))
    if chosen is None:
        return [binding]
    return [replace(binding, key=key, key_display=None) for key in chosen.split(",")]


def _checked_key(key: str, id_: str) -> str:
    """Return a key with its modifiers in the order in which Textual has them.

    Raises:
        ValueError: It does not exist, cannot be told from another, or is needed for typing.
    """
    key = key.strip()
    *modifiers, name = key.lower().split("+") if len(key) > 1 else [key]
    known = len(name) == 1 or name in _NAMES or _is_ascii(name)
    if unknown := [m for m in modifiers if m not in _MODIFIERS] or ([] if known else [name]):
        close = get_close_matches(unknown[0], [*_MODIFIERS, *sorted(_NAMES)], n=1)
        hint = f"did you mean {close[0]}?" if close else "keys are called ctrl+n, alt+up, f5 or x."
        raise ValueError(f"there is no {key}; {hint}")
    key = "+".join([*sorted(set(modifiers)), name])
    if key in _SENT_AS:
        raise ValueError(f"terminals send {_SENT_AS[key]} for {key}; choose another.")
    types = key_to_character(key) is not None or key in _EDITING
    if types and id_.startswith(_WHILE_TYPING) and not (key == "enter" and id_ == "prompt.send"):
        raise ValueError(f"{key} is needed for writing; choose one with ctrl or alt, or an F key.")
    return key


def _is_ascii(name: str) -> bool:
    """Say whether a key types an ASCII character; by their names in Unicode there are bananas."""
    character = key_to_character(name)
    return character is not None and character.isascii()


def _check_clashes(keymap: Mapping[str, str], chains: Sequence[Chain], source: Path | None) -> None:
    """Refuse a key for two bindings that listen at the same time, where none of ours is so."""
    meant = {frozenset(clash) for chain in chains for clash in _clashes(chain, {})}
    for chain in chains:
        for key, one, other in _clashes(chain, keymap):
            if frozenset((key, one, other)) not in meant:
                raise SettingsError(
                    f"{source} gives {key} to {one}, and {other} has it at the same time; "
                    "give one of them another key."
                )


def _clashes(chain: Chain, keymap: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the keys of a chain that two ids have, with both; one that was rebound is first."""
    owners: dict[str, list[str]] = {}
    for owner in chain:
        for binding in bindings_of(owner):
            for rebound in _rebound(binding, keymap):
                ids = owners.setdefault(rebound.key, [])
                if rebound.id and rebound.id not in ids:
                    ids.append(rebound.id)
    clashes: list[tuple[str, str, str]] = []
    for key, ids in owners.items():
        for pair in combinations(ids, 2):
            one, other = sorted(pair, key=lambda id_: id_ not in keymap)
            clashes.append((key, one, other))
    return clashes
