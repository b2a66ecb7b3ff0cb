"""From the text of a configuration file to settings; every complaint names the file and the place."""

import tomllib
from collections.abc import Iterable, Mapping
from os.path import expanduser
from pathlib import Path
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.settings.catalog import KEYS_TO_DOORS, NAMED_BY_THE_USER, SECTIONS, section_settings
from localfp4.settings.kinds import Kind
from localfp4.settings.values import Settings
from localfp4.settings.wrong import SettingsError, likely


def read_text(text: str, path: Path) -> Settings:
    """Return the settings that a text stands for.

    Args:
        text: Of the file.
        path: Of the file, which folders are beside and complaints name.

    Raises:
        SettingsError: It is not TOML, or holds what means nothing.
    """
    try:
        return _Reader(path).read(text)
    except RecursionError as error:
        raise SettingsError(
            f"{path} is nested too deep; it has sections of plain values."
        ) from error


def sections_of(text: str, path: Path) -> dict[str, Any]:
    """Return what stands in a text, unchecked; names that users gave are not nested.

    Raises:
        SettingsError: It is not TOML.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # thousands of digits are no TOMLDecodeError
        raise SettingsError(f"{path} is not TOML: {error}; mend that place.") from error
    for section in NAMED_BY_THE_USER:
        if isinstance(content := document.get(section), dict):
            document[section] = _flattened(content)
    return document


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, text: str) -> Settings:
        document = sections_of(text, self._path)
        for name, content in document.items():
            if name not in SECTIONS:
                raise self._error(f"has [{name}], which means nothing", name, SECTIONS)
            if not isinstance(content, dict):
                raise self._error(f"has {name} as a value; write it as a section, [{name}]")
            self._check_section(name, content)
        self._check_sampling(document.get("sampling", {}))
        self._check_engine(document.get("engine", {}))
        return Settings(
            keys=_joined(document.get("keys", {})),
            **_without_auto(document.get("chat", {})),
            sampling=document.get("sampling", {}),
            folders=self._folders(document.get("models", {})),
            aliases=document.get("aliases", {}),
            engine=document.get("engine", {}),
            server=document.get("server", {}),
            path=self._path,
        )

    def _check_section(self, section: str, content: Mapping[str, Any]) -> None:
        if section in NAMED_BY_THE_USER:
            kind, _ = NAMED_BY_THE_USER[section]
            for name, value in content.items():
                self._check(section, name, value, kind)
            return
        known = section_settings(section)
        for name, value in content.items():
            if name in known:
                self._check(section, name, value, known[name].kind)
                continue
            if section == "server" and name in KEYS_TO_DOORS:
                raise self._error(
                    f"has {name} in [server], and a key is not for a file that other programs "
                    "read; set LOCALFP4_API_KEY to it"
                )
            raise self._error(f"has {name} in [{section}], which means nothing", name, known)

    def _check(self, section: str, name: str, value: object, kind: Kind) -> None:
        if not kind.accepts(value):
            raise self._error(f"has {name} = {value!r} in [{section}]; it must be {kind.wanted}")

    def _check_sampling(self, section: Mapping[str, Any]) -> None:
        try:
            SamplingParams(**section).check_answers()
        except RequestError as error:
            raise self._error(f"has in [sampling]: {error}".removesuffix(".")) from error

    def _check_engine(self, section: Mapping[str, Any]) -> None:
        chosen, draft = section.get("speculate", "auto"), section.get("draft")
        if draft is not None and chosen not in ("auto", "draft"):
            raise self._error(
                f"has in [engine] a draft that guesses ahead, and speculate = {chosen!r}; "
                "leave one of them out"
            )
        if draft is None and chosen == "draft":
            raise self._error("has speculate = 'draft' in [engine]; add draft, a smaller model")

    def _folders(self, section: Mapping[str, Any]) -> tuple[Path, ...]:
        beside = self._path.absolute().parent
        return tuple(beside / expanduser(folder) for folder in section.get("folders", []))

    def _error(
        self, what: str, name: str | None = None, known: Iterable[str] = ()
    ) -> SettingsError:
        end = "." if name is None else f"; {likely(name, known)}"
        return SettingsError(f"{self._path} {what}{end}")


def _joined(keys: Mapping[str, Any]) -> dict[str, str]:
    return {id_: key if isinstance(key, str) else ",".join(key) for id_, key in keys.items()}


def _without_auto(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value in ("auto", "") else value for name, value in section.items()}


def _flattened(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return names with what they have: TOML reads ``chat.new = …`` as a table within the table."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict):
            found |= {f"{name}.{rest}": inner for rest, inner in value.items()}
        else:
            found[name] = value
    return found
