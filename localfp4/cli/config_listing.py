"""What ``localfp4 config`` lists: settings, folders and variables, in lines and as JSON."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localfp4.cli.history_file import history_path
from localfp4.logs.folder import log_folder
from localfp4.settings.catalog import SECTIONS
from localfp4.settings.file import PATH_VARIABLE
from localfp4.settings.listing import ListedSetting
from localfp4.settings.variables import VARIABLES
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_NOT_SET = "not set"
_WIDEST_VALUE = 40


@dataclass(frozen=True, slots=True)
class _Folder:
    """A place where this program keeps something, and the variable that moved it there."""

    name: str
    path: Path
    variable: str = ""


def spelled(value: Any) -> str:
    """Return a value as it stands in the file."""
    return json.dumps(value, ensure_ascii=False)


def in_lines(settings: Sequence[ListedSetting], path: Path, *, is_there: bool) -> list[str]:
    """Return the list as text.

    Args:
        settings: All of them.
        path: Of the configuration file.
        is_there: Whether there is such a file.
    """
    missing = "" if is_there else "  (there is none yet; localfp4 config edit makes one)"
    lines = [f"{path}{missing}"]
    for section in SECTIONS:
        rows = [
            (one.setting.name, _value(one), _origin(one, path))
            for one in settings
            if one.setting.section == section
        ]
        if rows:
            lines += ["", f"[{section}]", *_table(rows)]
    folders = [(one.name, str(one.path), one.variable or "default") for one in _folders(path)]
    variables = [(one.name, one.shown(os.environ) or _NOT_SET, one.help) for one in VARIABLES]
    return [*lines, "", "folders and files", *_table(folders), "", "variables", *_table(variables)]


def as_object(settings: Sequence[ListedSetting], path: Path) -> str:
    """Return the list as a JSON object."""
    rows: list[dict[str, Any]] = [
        {
            "kind": "setting",
            "name": one.setting.key,
            "value": one.value,
            "default": one.setting.default,
            "origin": one.origin,
            "file": str(path) if one.origin == "file" else None,
            "line": one.line,
            "help": one.setting.help,
        }
        for one in settings
    ]
    rows += [
        {"kind": "folder", "name": one.name, "value": str(one.path), "origin": one.variable or "default"}
        for one in _folders(path)
    ]  # fmt: skip
    rows += [
        {"kind": "variable", "name": one.name, "value": one.shown(os.environ), "help": one.help}
        for one in VARIABLES
    ]
    return json.dumps({"environment": asdict(environment(usable_cores())), "rows": rows})


def _value(one: ListedSetting) -> str:
    return _NOT_SET if one.value is None else spelled(one.value)


def _origin(one: ListedSetting, path: Path) -> str:
    if one.origin == "default":
        return "default"
    return path.name if one.line is None else f"{path.name}:{one.line}"


def _table(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield rows whose columns stand below each other, long values aside."""
    name = max(len(row[0]) for row in rows)
    value = max((len(row[1]) for row in rows if len(row[1]) <= _WIDEST_VALUE), default=0)
    for row in rows:
        yield f"  {row[0]:<{name}}  {row[1]:<{value}}  {row[2]}".rstrip()


def _folders(path: Path) -> list[_Folder]:
    from huggingface_hub import constants
    from platformdirs import user_cache_path

    def moved_by(*names: str) -> str:
        return next((name for name in names if os.environ.get(name)), "")

    return [
        _Folder("configuration", path, moved_by(PATH_VARIABLE)),
        _Folder("history", history_path()),
        _Folder("logs", log_folder()),
        _Folder("cache", user_cache_path("localfp4", appauthor=False)),
        _Folder("models", Path(constants.HF_HUB_CACHE), moved_by("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME")),
        _Folder("hub token", Path(constants.HF_TOKEN_PATH), moved_by("HF_TOKEN_PATH", "HF_HOME")),
    ]  # fmt: skip
