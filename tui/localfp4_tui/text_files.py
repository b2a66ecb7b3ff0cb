"""Reading text files that a user names; whatever else they name is refused in a sentence."""

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from localfp4.errors import RequestError
from localfp4_tui.file_kinds import PICTURE, kind_of
from localfp4_tui.formatting import one_line
from localfp4_tui.plain_text import is_binary, plain

MOST_BYTES = 2_000_000
"""About half a million tokens, more than the context of what runs on a desktop."""

_WITH_MARK = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does, and so is looked for before it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file has not been written since."""

    changed_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that was read: its text, sanitised, and when it was so."""

    text: str
    stamp: Stamp


def read_text_file(path: Path, name: str, *, reader: str) -> TextFile:
    """Read a file, which never waits for anything to write to it.

    Encodings other than UTF-8 are taken where a byte order mark says so, and never guessed: a
    wrong guess would reach the model unseen.

    Args:
        path: Where it is.
        name: What the user calls it.
        reader: Who reads pictures not.

    Raises:
        RequestError: It is missing, may not be read, is too large, empty, or no text.
    """
    name = one_line(name)
    try:
        data, stamp = _read(path, name)
    except FileNotFoundError:
        raise RequestError(f"There is no file {name}.") from None
    except PermissionError:
        raise RequestError(f"{name} may not be read: permission denied.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{name} could not be read: {reason}.") from None
    _check_kind(data, name, reader)
    text = _decode(data, name)
    if not text.strip():
        raise RequestError(f"{name} is empty; there is nothing to attach.")
    return TextFile(text, stamp)


def _read(path: Path, name: str) -> tuple[bytes, Stamp]:
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise RequestError(f"{name} is a folder; attach the files in it one by one.")
    if not stat.S_ISREG(facts.st_mode):
        raise RequestError(f"{name} is a device or a pipe; only ordinary files can be attached.")
    no_wait = getattr(os, "O_NONBLOCK", 0)  # a pipe may have taken its place
    binary = getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, os.O_RDONLY | no_wait | binary), "rb") as file:
        data = file.read(MOST_BYTES + 1) or b""  # it is None where there is nothing yet
    if len(data) > MOST_BYTES:  # by what was read, as a file may grow, and some tell no size
        raise RequestError(f"{name} has more than {MOST_BYTES:,} bytes, the most to attach.")
    return data, Stamp(facts.st_mtime_ns, facts.st_size)


def _check_kind(data: bytes, name: str, reader: str) -> None:
    kind, advice = kind_of(data, name)
    if kind == PICTURE:
        raise RequestError(f"{reader} reads text only; {name} is a picture.")
    if kind:
        advised = f"; {advice}" if advice else ""
        raise RequestError(f"{reader} reads text only; {name} is {kind}{advised}.")


def _decode(data: bytes, name: str) -> str:
    encoding = next((name for mark, name in _WITH_MARK if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\x00" in data:
        raise RequestError(f"{name} holds binary data, not text.")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise RequestError(f"{name} is not text in UTF-8; save it as UTF-8 first.") from None
    if is_binary(text):
        raise RequestError(f"{name} holds binary data, not text.")
    return plain(text)
