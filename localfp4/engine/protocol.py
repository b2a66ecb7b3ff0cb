"""What the engine process and its client say to each other beside events; stdlib only.

Down the pipe go commands, up come reports. Everything is picklable and says nothing about how
it travels.
"""

from dataclasses import dataclass

from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats

LOADER = "localfp4.engine.engine:load_engine"
"""Where the engine process finds the function that builds its engine."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a request; unknown ids are ignored."""

    id: str


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Count the tokens of texts; few and short ones, since answers wait meanwhile."""

    number: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokensCounted:
    """The tokens of each text, or in ``refusal`` why they cannot be counted."""

    number: int
    counts: tuple[int, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the process; requests in flight are dropped."""


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be loaded: the class in ``localfp4.errors`` to raise, and its sentence."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine broke and the process is about to end; ``message`` is for the user."""

    message: str


Command = Request | Cancel | CountTokens | Shutdown
Report = LoadProgress | ModelInfo | LoadFailed | EngineFailed | Stats | TokensCounted | list[Event]
