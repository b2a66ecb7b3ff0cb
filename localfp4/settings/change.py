"""Changes a configuration file; what the user wrote around a setting stays as it is."""

import os
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localfp4.file_moves import put_in_place
from localfp4.settings.reader import read_text
from localfp4.settings.wrong import SettingsError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Table

_BOM = b"\xef\xbb\xbf"


def with_setting(text: str, key: str, value: Any) -> str:
    """Return a file's text with a setting in it.

    Args:
        text: TOML.
        key: Such as ``chat.model``.
        value: Of TOML's kinds.

    Raises:
        SettingsError: The text cannot be changed so that comments and order stay.
    """
    import tomlkit

    document = _parsed(text)
    section, _, name = key.partition(".")
    table: Any = document.get(section)
    if table is not None and not isinstance(table, MutableMapping):
        raise SettingsError(
            f"The configuration file has {section} as a value; `localfp4 config unset {section}` "
            "takes it out."
        )
    if table is None:
        if document.body:
            document.add(tomlkit.nl())
        table = document[section] = tomlkit.table()
    holder, last = _place(table, name)
    holder[last] = value
    return _with_ends_of(text, document.as_string())


def without_setting(text: str, key: str) -> str | None:
    """Return a file's text without a setting; ``None`` where it has no such setting.

    Raises:
        SettingsError: The text cannot be changed so that comments and order stay.
    """
    document = _parsed(text)
    section, _, name = key.partition(".")
    table: Any = document.get(section)
    if name and not isinstance(table, MutableMapping):
        return None
    holder, last = _place(table, name) if name else (document, section)
    if last not in holder:
        return None
    del holder[last]
    return _with_ends_of(text, document.as_string())


def replace_file(path: Path, text: str) -> None:
    """Check a text as a whole and put it into the place of a file, which is there at any moment.

    A link stays a link, and the file's permissions stay; a new file is for its owner alone.

    Raises:
        SettingsError: The text means nothing, or cannot be written.
    """
    read_text(text, path)
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.read_bytes()[: len(_BOM)] if target.exists() else b""
        descriptor, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write((_BOM if before == _BOM else b"") + text.encode())
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                os.chmod(beside, target.stat().st_mode & 0o777)
            put_in_place(Path(beside), target)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"The configuration file {path} cannot be written ({reason}); nothing was changed."
        ) from error


def _parsed(text: str) -> "TOMLDocument":
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"The configuration file cannot be changed ({error}); `localfp4 config edit` opens it."
        ) from error


def _place(table: "Table", name: str) -> tuple[Any, str]:
    """Return the table that a name is in, and what it is called there: ids of keys have dots."""
    first, _, rest = name.partition(".")
    inner: Any = table.get(first)
    if rest and name not in table and isinstance(inner, MutableMapping) and rest in inner:
        return inner, rest
    return table, name


def _with_ends_of(before: str, after: str) -> str:
    """Return a text whose lines end as those of another: what is added ends as on POSIX."""
    plain = after.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if "\r\n" in before else plain
