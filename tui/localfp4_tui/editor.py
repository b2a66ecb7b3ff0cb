"""The user's own editor, for a text or a file; no widgets."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from localfp4.errors import RequestError
from localfp4_tui.draft import MOST_PASTED
from localfp4_tui.plain_text import is_binary, plain

_KEPT = "the prompt is as it was"
_USUAL = ("sensible-editor", "nano", "vim", "vi")


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the program of the user's choice and its options.

    Raises:
        RequestError: There is none, or what names it cannot be read.
    """
    for variable in ("VISUAL", "EDITOR"):
        if chosen := environment.get(variable, "").strip():
            return _split(chosen, variable)
    usual = ("notepad",) if os.name == "nt" else _USUAL
    for name in usual:
        if shutil.which(name, path=environment.get("PATH")):
            return [name]
    raise RequestError("No editor was found; name one in the variable EDITOR.")


def write_in_editor(text: str, command: Sequence[str]) -> str:
    """Return a text as an editor leaves it; waits for the editor to end.

    Raises:
        RequestError: The editor could not be started or failed, or left no text.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="localfp4-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "message.md"
            file.write_text(text, encoding="utf-8", newline="\n")
            _run([*command, str(file)], _KEPT)
            return _saved(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"The text could not be handed over ({reason}); {_KEPT}.") from None


def edit_file(file: Path, command: Sequence[str]) -> None:
    """Have an editor open a file, and wait for the editor to end.

    Raises:
        RequestError: The editor could not be started or failed.
    """
    _run([*command, str(file)], f"{file} is as it was left")


def _split(chosen: str, variable: str) -> list[str]:
    with suppress(ValueError):
        if words := shlex.split(chosen, posix=os.name != "nt"):
            return [word.strip('"') for word in words]
    raise RequestError(f"The variable {variable} names no editor: {chosen}")


def _run(command: Sequence[str], kept: str) -> None:
    name = Path(command[0]).name
    try:
        with _interrupts_ignored():
            # Windows starts batch files, such as Visual Studio Code's, only by their whole names.
            program = shutil.which(command[0]) or command[0]
            status = subprocess.run([program, *command[1:]], check=False).returncode
    except FileNotFoundError:
        hint = "name another in the variable EDITOR"
        raise RequestError(f"There is no editor {name}; {hint}.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"{name} could not be started ({reason}); {kept}.") from None
    if status != 0:
        raise RequestError(f"{name} ended with an error (status {status}); {kept}.")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Outlive a Ctrl-C for the editor, which the terminal sends to whoever waits for it, too.

    A handler that does nothing is not handed down to the editor, as ``SIG_IGN`` would be.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _saved(file: Path) -> str:
    if not file.is_file():
        raise RequestError(f"The editor left no file; {_KEPT}.")
    if file.stat().st_size > MOST_PASTED:
        raise RequestError(f"The editor left more than the prompt takes; {_KEPT}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError(
            f"The editor left something that is not text in UTF-8; {_KEPT}."
        ) from None
    if is_binary(text):
        raise RequestError(f"The editor left binary data, not text; {_KEPT}.")
    return plain(text).removesuffix("\n")
