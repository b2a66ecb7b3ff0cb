"""The configuration file itself: where it is, and its text."""

import os
from os.path import expanduser
from pathlib import Path

from localfp4.settings.reader import read_text
from localfp4.settings.values import Settings
from localfp4.settings.wrong import SettingsError

PATH_VARIABLE = "LOCALFP4_CONFIG"


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
    text = file_text(path)
    if text is not None:
        return read_text(text, path)
    if os.environ.get(PATH_VARIABLE):
        raise SettingsError(
            f"There is no configuration file {path}; create it, or unset {PATH_VARIABLE}."
        )
    return Settings()


def file_text(path: Path) -> str | None:
    """Return what stands in a file, its ends of lines as they are; ``None`` where there is none.

    Raises:
        SettingsError: It cannot be read, or is not text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")  # Notepad marks UTF-8 with a BOM
    except (FileNotFoundError, NotADirectoryError):
        return None
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
