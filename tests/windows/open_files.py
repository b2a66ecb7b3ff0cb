"""Open files as Windows has them: they are neither deleted nor renamed nor renamed over.

Python opens files there without sharing their deletion, and a file that is mapped stays in any case.
What this process holds open is read from ``/proc``.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

_SHARING_VIOLATION = 32
_HELD = "The process cannot access the file because it is being used by another process"


def held_paths() -> set[str]:
    """Return the files that this process has open or mapped."""
    held = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            held.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        held |= {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/" in line}
    return {path for path in held if path.startswith("/") and os.path.isfile(path)}


def refuse_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process' ``os`` refuse what Windows would."""

    def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
        def refuse_or_do(*arguments: Any, **settings: Any) -> Any:
            paths = [arg for arg in arguments if isinstance(arg, str | bytes | os.PathLike)]
            for path in paths:
                _refuse(_place(path, settings.get("dir_fd")))
            return function(*arguments, **settings)

        return refuse_or_do

    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def _place(path: Any, folder: int | None) -> str:
    """Return the real path of a name, without following the name itself."""
    beside = "" if folder is None else os.readlink(f"/proc/self/fd/{folder}")
    parent, name = os.path.split(os.path.join(beside, os.fsdecode(path)))
    return os.path.join(os.path.realpath(parent), name)


def _refuse(place: str) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        inside = place + os.sep
        is_held = any(held.startswith(inside) for held in held_paths())
    else:
        is_held = place in held_paths()
    if is_held:
        raise PermissionError(13, _HELD, place, _SHARING_VIOLATION)
