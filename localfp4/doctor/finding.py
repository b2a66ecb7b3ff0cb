"""What a check found, and what mends it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]
"""``warning``: it runs, slower or with less; ``problem``: something cannot run until it is mended."""

Area = Literal["system", "driver", "card", "torch", "triton", "models", "network", "terminal"]

Command = tuple[str, ...]
"""Program and arguments; what a shell expands (``~``, ``$USER``) is for people, not for programs."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A way to mend something.

    Attributes:
        words: What to do, a sentence or the beginning of one that the commands end.
        commands: What to run, one after the other; empty where it is not done by a command.
        is_safe: Whether ``localfp4 doctor --fix`` may run them after asking: they need no
            administrator and change only this program's own environment and caches.
    """

    words: str
    commands: tuple[Command, ...] = ()
    is_safe: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check.

    Attributes:
        check: Its name, which programs may rely on, such as ``torch-build``.
        area: Under which heading it is told.
        level: How bad it is.
        summary: What was found, in one line.
        reason: Why it matters, in one sentence; empty where that is plain.
        remedies: What mends it, the best first; each mends it alone.
    """

    check: str
    area: Area
    level: Level
    summary: str
    reason: str = ""
    remedies: tuple[Remedy, ...] = ()


def has_problem(findings: tuple[Finding, ...]) -> bool:
    """Say whether something cannot run until it is mended."""
    return any(finding.level == "problem" for finding in findings)
