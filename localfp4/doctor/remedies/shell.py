"""How a command is written for the shell of a system, to be copied into it."""

import re
import shlex

from localfp4.doctor.facts import SystemKind
from localfp4.doctor.finding import Command

_PLAIN = re.compile(r"[A-Za-z0-9_./:=+@%^\\-]+")
"""What PowerShell takes as it is; not a comma, which makes a list there, nor ``<`` or ``~``."""

_FOR_THE_SHELL = re.compile(r"~/[\w./-]*|\$\w+")
"""What a POSIX shell is to expand: the home folder, a variable."""


def written(command: Command, system: SystemKind) -> str:
    """Return a command as it is typed: for PowerShell on Windows, else for a POSIX shell."""
    if system != "windows":
        return " ".join(
            word if _FOR_THE_SHELL.fullmatch(word) else shlex.quote(word) for word in command
        )
    program, *arguments = map(_powershell, command)
    # PowerShell takes a quoted program for a piece of text unless it is called with an ampersand.
    return " ".join([program if program == command[0] else f"& {program}", *arguments])


def _powershell(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    if re.search(r'[$`"]', word):
        return "'" + word.replace("'", "''") + "'"
    return f'"{word}"'
