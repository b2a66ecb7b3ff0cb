"""An engine that plays prepared steps, each of which takes a known time."""

from collections import deque
from dataclasses import dataclass, field

from localfp4.config import SamplingParams
from localfp4.messages import Delta, Event, Finished, Request


@dataclass
class ScriptedEngine:
    """Plays prepared steps, each a duration and the events it brings."""

    script: list[tuple[float, list[Event]]]
    now: float = 100.0
    cancelled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = deque(self.script)

    def clock(self) -> float:
        return self.now

    def add(self, request: Request) -> None:
        assert len(self._left) == len(self.script), "requests must all be added before any step"

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)
        self._left.clear()

    def step(self) -> list[Event]:
        duration, events = self._left.popleft()
        self.now += duration
        return events

    def has_work(self) -> bool:
        return bool(self._left)


def request(name: str, prompt: int, tokens: int, *, ignore_eos: bool = True) -> Request:
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=ignore_eos)
    return Request(name, token_ids=tuple(range(prompt)), sampling=sampling)


def token(name: str, *ids: int) -> Delta:
    return Delta(name, "", ids or (5,))


def finished(name: str, cached: int = 0) -> Finished:
    return Finished(name, "length", 0, cached, 0, 0.0, 0.0)
