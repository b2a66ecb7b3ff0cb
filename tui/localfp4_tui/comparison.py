"""One question put to two choices, and what has come of each so far; no widgets."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Event as Flag
from time import monotonic

from localfp4.errors import UserError
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    LoadProgress,
    ModelInfo,
    Request,
    Started,
)
from localfp4.reports import Choice, Compared
from localfp4.text.sanitize import TerminalSanitizer
from localfp4_tui.backend import Backend
from localfp4_tui.divergence import Parting, Said, parting
from localfp4_tui.feed import Feed
from localfp4_tui.load_meter import LoadMeter


class SideState(Enum):
    """What one side does."""

    WAITING = auto()
    LOADING = auto()
    ANSWERING = auto()
    DONE = auto()
    FAILED = auto()


@dataclass
class Side:
    """One of the choices.

    Attributes:
        choice: What answers.
        state: What it does now.
        said: Its answer so far.
        meter: How far it is loaded.
        info: What was loaded.
        finished: The figures of its answer.
        failure: Why it has no answer, or no whole one.
        thinking_tokens: How many tokens were thought before the answer.
    """

    choice: Choice
    state: SideState = SideState.WAITING
    said: Said = field(default_factory=Said)
    meter: LoadMeter = field(default_factory=LoadMeter)
    info: ModelInfo | None = None
    finished: Finished | None = None
    failure: str = ""
    thinking_tokens: int = 0
    _text: TerminalSanitizer = field(default_factory=TerminalSanitizer)
    _thought: TerminalSanitizer = field(default_factory=TerminalSanitizer)

    def take(self, news: LoadProgress | ModelInfo | Event) -> None:
        """Take in what has happened on this side."""
        match news:
            case LoadProgress():
                self.state = SideState.LOADING
                self.meter.add(news, monotonic())
            case ModelInfo():
                self.info = news
            case Started():
                self.state = SideState.ANSWERING
            case Delta():
                thought, text = self._thought.add(news.reasoning), self._text.add(news.text)
                self.said.add(news.token_ids, thought, text)
                self.thinking_tokens += len(news.token_ids) if thought else 0
            case Finished():
                self.state = SideState.DONE
                self.finished = news
                self.said.is_complete = True
            case Failed():
                self.fail(news.message)

    def fail(self, why: str) -> None:
        """Note that nothing more comes, and why."""
        self.state = SideState.FAILED
        self.failure = why


class Comparison:
    """A comparison of two choices under way.

    Attributes:
        sides: Both.
        way_back: How far what was loaded before is loaded again, once that is begun.
        is_over: Whether nothing more happens.
    """

    def __init__(self, backend: Backend, request: Request, choices: Sequence[Choice]) -> None:
        self.sides = (Side(choices[0]), Side(choices[1]))
        self.way_back: LoadMeter | None = None
        self.is_over = False
        self._backend = backend
        self._request = request
        self._stopping = Flag()
        self._current = self.sides[0]

    async def run(self) -> AsyncIterator[None]:
        """Go through both sides, yielding several times a second when something has happened."""
        feed = Feed(self._read)
        try:
            async for batch in feed.batches():
                for compared in batch:
                    self._take(compared)
                yield
        except UserError as error:
            # Where the way back fails, both answers are there; the chat tells it when it loads.
            if not self._stopping.is_set() and self.way_back is None:
                self._current.fail(str(error))
        for side in self.sides:
            if side.state in (SideState.WAITING, SideState.LOADING):
                side.fail("")
        self.is_over = True
        yield

    def stop(self) -> None:
        """End it as soon as may be; :meth:`run` then ends. Called from a thread.

        An answer is stopped at once, a load at its next report.
        """
        self._stopping.set()
        for side in range(len(self.sides)):
            self._backend.cancel(f"{self._request.id}-{side}")

    @property
    def parting(self) -> Parting:
        """Where the two answers part, as far as they have come."""
        left, right = self.sides
        return parting(left.said, right.said, same_vocabulary=self.has_same_vocabulary)

    @property
    def has_same_vocabulary(self) -> bool:
        """Whether token ids mean the same on both sides."""
        if self.sides[0].choice.model == self.sides[1].choice.model:
            return True
        left, right = (side.info for side in self.sides)
        if left is None or right is None:
            return False
        of_left, of_right = ((i.family, i.vocab_size) for i in (left, right))
        return of_left == of_right and left.vocab_size > 0

    @property
    def computes_alike(self) -> bool:
        """Whether the two differ in precision only by name: the same model and kernels."""
        left, right = (side.info for side in self.sides)
        return (
            left is not None
            and right is not None
            and self.sides[0].choice.model == self.sides[1].choice.model
            and (left.kernel_path, left.dtype) == (right.kernel_path, right.dtype)
        )

    def _read(self) -> Iterator[Compared]:
        """Yield the news until this is stopped; runs in the feed's thread."""
        news = self._backend.compare(self._request, [side.choice for side in self.sides])
        with closing(news):
            for compared in news:
                if self._stopping.is_set():
                    return
                yield compared

    def _take(self, compared: Compared) -> None:
        news = compared.news
        if compared.side < len(self.sides):
            self._current = self.sides[compared.side]
            self._current.take(news)
        elif isinstance(news, LoadProgress):
            self.way_back = self.way_back or LoadMeter()
            self.way_back.add(news, monotonic())
