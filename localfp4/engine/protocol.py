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
    """How many tokens texts have; few and short ones, since answers wait meanwhile."""

    number: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Encode:
    """Which token ids the prompt of a request is."""

    number: int
    request: Request


@dataclass(frozen=True, slots=True)
class Decode:
    """What token ids spell: all of them as one text, or each ``alone``."""

    number: int
    token_ids: tuple[int, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """What became of a question, which bears the same number: counts or ids, or else texts."""

    number: int
    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A question that has no reply: the class in ``localfp4.errors`` to raise, and its sentence."""

    number: int
    kind: str
    message: str


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


Question = CountTokens | Encode | Decode
Command = Request | Cancel | Question | Shutdown
Reply = Replied | Refused
Report = LoadProgress | ModelInfo | LoadFailed | EngineFailed | Stats | Reply | list[Event]
