"""What holds now, and why: every setting with its value and where that comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from localfp4.settings.catalog import NAMED_BY_THE_USER, SECTIONS, SETTINGS, Setting, setting_named
from localfp4.settings.lines import line_numbers
from localfp4.settings.reader import read_text, sections_of


@dataclass(frozen=True, slots=True)
class ListedSetting:
    """A setting as it is.

    Attributes:
        setting: Which.
        value: What holds; ``None`` where nothing was said and the program has no fixed default.
        origin: Whether the file says so.
        line: Of the file.
    """

    setting: Setting
    value: Any
    origin: Literal["default", "file"] = "default"
    line: int | None = None


def list_settings(text: str | None, path: Path) -> list[ListedSetting]:
    """Return all settings in order, those that users named among them.

    Args:
        text: Of the configuration file; ``None`` where there is none.
        path: Of that file.

    Raises:
        SettingsError: The text means nothing.
    """
    read_text(text or "", path)
    found = sections_of(text or "", path)
    lines = line_numbers(text or "")
    listed = []
    for section in SECTIONS:
        for setting in _settings_in(section, found):
            value = found.get(section, {}).get(setting.name)
            if value is None:
                listed.append(ListedSetting(setting, setting.default))
            else:
                listed.append(ListedSetting(setting, value, "file", lines.get(setting.key)))
    return listed


def _settings_in(section: str, found: dict[str, Any]) -> list[Setting]:
    if section not in NAMED_BY_THE_USER:
        return [setting for setting in SETTINGS if setting.section == section]
    named = (setting_named(f"{section}.{name}") for name in found.get(section, {}))
    return [setting for setting in named if setting is not None]
