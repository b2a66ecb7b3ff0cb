"""The user's configuration file: read once at the start, checked, and passed down frozen.

What a key or a theme is called is for the screen to check; everything else is checked here.
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from os.path import expanduser
from pathlib import Path
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import RequestError, UserError

PATH_VARIABLE = "LOCALFP4_CONFIG"
EFFORTS = ("low", "medium", "high")

_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "seed",
)


class SettingsError(UserError):
    """The configuration file cannot be read, or says something that means nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user wants of every chat; the command line overrides it.

    Attributes:
        keys: Id of a binding to the keys that it has instead of its own, separated by commas.
        theme: Name of the colours, or ``None`` to go on with what was chosen last.
        system: A system prompt.
        thinking: Whether the model reasons before it answers; ``None`` leaves it to the model.
        reasoning_effort: How much it reasons, for models that can be told.
        model: What ``localfp4 chat`` talks to where no model is named.
        ephemeral: Whether conversations are not kept.
        sampling: Fields of :class:`~localfp4.config.SamplingParams` that the user has set.
        folders: Where models lie, beside the cache of the hub.
        aliases: Names of the user's own for models.
        path: The file this was read from; ``None`` for what comes without one.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    theme: str | None = None
    system: str | None = None
    thinking: bool | None = None
    reasoning_effort: str | None = None
    model: str | None = None
    ephemeral: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


def settings_path() -> Path:
    """Return where the configuration file is, or would be: ``LOCALFP4_CONFIG`` names another."""
    if named := os.environ.get(PATH_VARIABLE):
        return Path(expanduser(named))
    from platformdirs import user_config_path

    return user_config_path("localfp4", appauthor=False) / "config.toml"


def read_settings() -> Settings:
    """Read the configuration file; without one, everything is as the program has it.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or holds what means nothing.
    """
    path = settings_path()
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad marks UTF-8 with a BOM
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get(PATH_VARIABLE):
            raise SettingsError(
                f"There is no configuration file {path}; create it, or unset {PATH_VARIABLE}."
            ) from None
        return Settings()
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"The configuration file {path} cannot be read ({reason}); mend that, or point "
            f"{PATH_VARIABLE} to another."
        ) from error
    try:
        return _Reader(path).read(text)
    except RecursionError as error:
        raise SettingsError(
            f"{path} is nested too deep; it has sections of plain values."
        ) from error


class _Reader:
    """Turns the text of a file into settings; every complaint names the file and the place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, text: str) -> Settings:
        try:
            document = tomllib.loads(text)
        except ValueError as error:  # a number of thousands of digits is no TOMLDecodeError
            raise self._error(f"is not TOML: {error}; mend that place") from error
        sections: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "keys": self._keys,
            "chat": self._chat,
            "sampling": self._sampling,
            "models": self._models,
            "aliases": self._aliases,
        }
        found: dict[str, Any] = {"path": self._path}
        for name, content in document.items():
            if name not in sections:
                raise self._error(f"has [{name}], which means nothing", name, sections)
            if not isinstance(content, dict):
                raise self._error(f"has {name} as a value; write it as a section, [{name}]")
            found |= sections[name](content)
        return Settings(**found)

    def _keys(self, section: Mapping[str, Any]) -> dict[str, Any]:
        keys = _flattened(section)
        for id_, value in keys.items():
            listed = [value] if isinstance(value, str) else value
            is_text = isinstance(listed, list) and all(isinstance(key, str) for key in listed)
            if not is_text or not all(key.strip() for key in listed) or not listed:
                raise self._mistyped(
                    "keys", id_, value, 'a key such as "ctrl+n", or a list of them'
                )
            keys[id_] = ",".join(listed)
        return {"keys": keys}

    def _chat(self, section: Mapping[str, Any]) -> dict[str, Any]:
        names = ("theme", "system", "thinking", "reasoning_effort", "model", "ephemeral")
        self._check_names("chat", section, names)
        for name, value in section.items():
            if name == "ephemeral":
                self._check("chat", name, value, isinstance(value, bool), "true or false")
            elif name == "thinking":
                fine = isinstance(value, bool) or value == "auto"
                self._check("chat", name, value, fine, 'true, false or "auto"')
            elif name == "reasoning_effort":
                known = " or ".join(f'"{effort}"' for effort in EFFORTS)
                self._check("chat", name, value, value in EFFORTS, known)
            else:
                self._check("chat", name, value, isinstance(value, str), "text in quotes")
        return {name: None if value in ("auto", "") else value for name, value in section.items()}

    def _sampling(self, section: Mapping[str, Any]) -> dict[str, Any]:
        self._check_names("sampling", section, _SAMPLING)
        try:
            SamplingParams(**section).check_answers()
        except RequestError as error:
            raise self._error(f"has in [sampling]: {error}".removesuffix(".")) from error
        return {"sampling": dict(section)}

    def _models(self, section: Mapping[str, Any]) -> dict[str, Any]:
        self._check_names("models", section, ("folders",))
        folders = section.get("folders", [])
        fine = isinstance(folders, list) and all(isinstance(f, str) and f for f in folders)
        self._check("models", "folders", folders, fine, 'a list of folders, ["D:/models"]')
        beside = self._path.absolute().parent
        return {"folders": tuple(beside / expanduser(folder) for folder in folders)}

    def _aliases(self, section: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in section.items():
            fine = isinstance(value, str) and bool(value.strip())
            self._check("aliases", name, value, fine, "a model, as text in quotes")
        return {"aliases": dict(section)}

    def _check_names(self, section: str, content: Iterable[str], known: Iterable[str]) -> None:
        for name in content:
            if name not in known:
                raise self._error(f"has {name} in [{section}], which means nothing", name, known)

    def _check(self, section: str, name: str, value: object, fine: bool, wanted: str) -> None:
        if not fine:
            raise self._mistyped(section, name, value, wanted)

    def _mistyped(self, section: str, name: str, value: object, wanted: str) -> SettingsError:
        return self._error(f"has {name} = {value!r} in [{section}]; it must be {wanted}")

    def _error(
        self, what: str, name: str | None = None, known: Iterable[str] = ()
    ) -> SettingsError:
        end = "." if name is None else f"; {likely(name, known)}"
        return SettingsError(f"{self._path} {what}{end}")


def likely(name: str, known: Iterable[str]) -> str:
    """Return how a sentence about an unknown name ends: what was meant, or what there is."""
    names = list(known)
    if close := get_close_matches(name.lower(), names, n=1):
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(names)}."


def _flattened(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return ids with their keys: TOML reads ``chat.new = …`` as a table within the table."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict):
            found |= {f"{name}.{rest}": key for rest, key in value.items()}
        else:
            found[name] = value
    return found
