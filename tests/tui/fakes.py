"""An engine and a history for tests: the test decides what they say, and when."""

import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace

from localfp4.config import SamplingParams
from localfp4.errors import EngineDiedError, UserError
from localfp4.history import Match, SavedConversation, Summary, Turn
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    LoadProgress,
    ModelInfo,
    Request,
    Started,
    Stats,
)
from localfp4.reports import Choice, Compared, Fit, Gauges, ModelEntry, ModelFacts

INFO = ModelInfo(
    name="demo",
    family="qwen3",
    parameters=8_200_000,
    weight_format="NVFP4 W4A16",
    kernel_path="torch fp32",
    device="cpu",
    dtype="float32",
    max_model_len=2048,
    kv_cache_tokens=16384,
    weight_bytes=7_900_000,
    kv_cache_bytes=50_000_000,
    load_s=1.24,
    has_chat_template=True,
    sampling=SamplingParams(temperature=0.6, top_p=0.95),
)
STATS = Stats(
    phase="decode",
    running=1,
    waiting=0,
    tokens_per_s=96.2,
    prefill_done=0,
    prefill_total=0,
    kv_used_tokens=448,
    kv_total_tokens=16384,
    memory_used_bytes=int(0.6 * 2**30),
    memory_total_bytes=int(7.8 * 2**30),
)


GIB = 2**30
CARD = Gauges(
    "VRAM",
    16 * GIB,
    int(9.7 * GIB),
    int(8.3 * GIB),
    temperature_c=71.0,
    power_w=212.4,
    energy_j=1000.0,
    busy=0.93,
)


class FakeBackend:
    """An engine without a model.

    With ``answers`` it answers each request at once with the next one. Without, a stream waits
    for :meth:`say`, :meth:`finish`, :meth:`fail` or :meth:`die`. ``load_steps`` of ``None``
    makes loading wait for :meth:`report`, :meth:`finish_loading` or :meth:`fail_loading`.
    """

    def __init__(
        self,
        answers: Iterable[str] = (),
        *,
        load_steps: Iterable[LoadProgress] | None = (LoadProgress("Reading weights", 5, 5),),
        info: ModelInfo = INFO,
        dropped_turns: int = 0,
    ) -> None:
        self.answers = deque(answers)
        self.requests: list[Request] = []
        self.cancelled: list[str] = []
        self.loads = 0
        self.closes = 0
        self.newest_stats: Stats | None = None
        self.newest_gauges: Gauges | None = None
        self.loaded = Choice(info.name)
        self.entries: list[ModelEntry] = []
        self.facts: dict[str, ModelFacts] = {}
        self.fits: dict[str, Fit] = {}
        self.downloads: dict[str, Iterator[LoadProgress]] = {}
        self.sides: list[Compared | Exception | threading.Event] = []
        self.compared: list[tuple[Choice, ...]] = []
        self.dropped_turns = dropped_turns
        self.obeys_cancel = True
        self.is_alive = False
        self._info = info
        self._load_steps = load_steps
        self._loading: queue.Queue[LoadProgress | Exception | None] = queue.Queue()
        self._streams: dict[str, queue.Queue[Event | Exception]] = {}
        self._lock = threading.Lock()

    # The protocol

    def load(self, choice: Choice | None = None) -> Iterator[LoadProgress]:
        self.loads += 1
        self.is_alive = False
        if choice is not None:
            self.loaded = choice
            self._info = replace(self._info, name=choice.model)
        steps = self._load_steps if self._load_steps is not None else self._waited_steps()
        yield from steps
        self.is_alive = True

    def choice(self) -> Choice:
        return self.loaded

    def info(self) -> ModelInfo:
        return self._info

    def stream(self, request: Request) -> Iterator[Event]:
        events = self._events(request.id)
        self.requests.append(request)
        yield Started(request.id, prompt_tokens=40, dropped_turns=self.dropped_turns)
        if self.answers:
            text = self.answers.popleft()
            yield Delta(request.id, text, token_ids=tuple(range(len(text.split()))))
            self.finish()
        while True:
            event = events.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, Finished | Failed):
                return

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)
        if self.obeys_cancel:
            self._events(request_id).put(self._finished(request_id, "cancelled"))

    def stats(self) -> Stats | None:
        return self.newest_stats

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        if not self.is_alive:
            raise EngineDiedError("The engine is not running.")
        return [len(text.split()) for text in texts]

    def gauges(self) -> Gauges | None:
        return self.newest_gauges

    def models(self) -> list[ModelEntry]:
        return self.entries

    def describe(self, model: str) -> ModelFacts:
        if model not in self.facts:
            raise UserError(f"{model} is not on this computer yet.")
        return self.facts[model]

    def fit(self, choice: Choice) -> Fit:
        if choice.model not in self.fits:
            raise UserError(f"{choice.model} is not on this computer yet.")
        fit = self.fits[choice.model]
        return fit if choice.context is None else replace(fit, context_tokens=choice.context)

    def download(self, model: str) -> Generator[LoadProgress, None, None]:
        yield from self.downloads[model]

    def compare(
        self, request: Request, choices: Sequence[Choice]
    ) -> Generator[Compared, None, None]:
        self.requests.append(request)
        self.compared.append(tuple(choices))
        self.is_alive = False
        for news in self.sides:
            if isinstance(news, threading.Event):
                news.wait()
            elif isinstance(news, Exception):
                raise news
            else:
                yield news
        self.is_alive = True

    def alive(self) -> bool:
        return self.is_alive

    def close(self) -> None:
        self.closes += 1
        self.is_alive = False
        self._loading.put(UserError("closed"))
        for events in list(self._streams.values()):
            events.put(EngineDiedError("closed"))

    # The test's side

    def report(self, progress: LoadProgress) -> None:
        self._loading.put(progress)

    def finish_loading(self) -> None:
        self._loading.put(None)

    def fail_loading(self, message: str) -> None:
        self._loading.put(UserError(message))

    def put(self, event: Event) -> None:
        self._newest().put(event)

    def say(self, text: str, *, tokens: int = 1) -> None:
        self._newest().put(Delta(self.requests[-1].id, text, token_ids=(0,) * tokens))

    def think(self, text: str, *, tokens: int = 1) -> None:
        request_id = self.requests[-1].id
        self._newest().put(Delta(request_id, "", token_ids=(0,) * tokens, reasoning=text))

    def finish(self, reason: FinishReason = "stop") -> None:
        self._newest().put(self._finished(self.requests[-1].id, reason))

    def fail(self, message: str) -> None:
        self._newest().put(Failed(self.requests[-1].id, message))

    def die(self, message: str = "The engine process was killed (signal 9).") -> None:
        self.is_alive = False
        self._newest().put(EngineDiedError(message))

    def _newest(self) -> queue.Queue[Event | Exception]:
        return self._events(self.requests[-1].id)

    def _events(self, request_id: str) -> queue.Queue[Event | Exception]:
        with self._lock:
            return self._streams.setdefault(request_id, queue.Queue())

    def _waited_steps(self) -> Iterator[LoadProgress]:
        while (step := self._loading.get()) is not None:
            if isinstance(step, Exception):
                raise step
            yield step

    def _finished(self, request_id: str, reason: FinishReason) -> Finished:
        return Finished(
            request_id,
            reason,
            prompt_tokens=40,
            cached_tokens=0,
            output_tokens=412,
            ttft_s=0.041,
            duration_s=0.041 + 411 / 96,
        )


class FakeHistory:
    """Keeps conversations in memory; with an error, it refuses to write."""

    def __init__(self, error: str | None = None) -> None:
        self.kept: dict[int, SavedConversation] = {}
        self.models: list[str] = []
        self.attempts = 0
        self.preferences: dict[str, str] = {}
        self.pieces: list[tuple[int, int, str, str]] = []
        self.error = error

    @property
    def saved(self) -> dict[int, list[tuple[str, str]]]:
        """Role and text of every turn of each conversation."""
        return {
            id_: [(turn.role, turn.content) for turn in kept.turns]
            for id_, kept in self.kept.items()
        }

    def start(self, model: str) -> int:
        self._may_fail()
        self.models.append(model)
        self.kept[len(self.models)] = SavedConversation(len(self.models), "", model, None, (), None)
        return len(self.models)

    def save(
        self,
        conversation: int,
        turns: Sequence[Turn],
        *,
        leaf: int | None,
        title: str,
        model: str,
        system: str | None,
    ) -> None:
        self.attempts += 1
        self._may_fail()
        self.kept[conversation] = SavedConversation(
            conversation, title, model, system, tuple(turns), leaf
        )

    def extend(self, conversation: int, turn: Turn, text: str, reasoning: str) -> None:
        self._may_fail()
        self.pieces.append((conversation, turn.id, text, reasoning))

    def load(self, conversation: int) -> SavedConversation:
        if conversation not in self.kept:
            raise UserError(f"There is no conversation {conversation}.")
        return self.kept[conversation]

    def recent(self, limit: int = 200) -> list[Summary]:
        return [_summary(kept) for kept in reversed(self.kept.values())][:limit]

    def search(self, words: str, limit: int = 50) -> list[Match]:
        return [
            Match(_summary(kept), turn.id, turn.role, turn.content)
            for kept in self.kept.values()
            for turn in kept.turns
            if words in turn.content
        ][:limit]

    def rename(self, conversation: int, title: str) -> None:
        self._may_fail()
        self.kept[conversation] = replace(self.kept[conversation], title=title)

    def delete(self, conversation: int) -> None:
        self._may_fail()
        del self.kept[conversation]

    def preference(self, name: str) -> str | None:
        return self.preferences.get(name)

    def prefer(self, name: str, value: str) -> None:
        self._may_fail()
        self.preferences[name] = value

    def _may_fail(self) -> None:
        if self.error is not None:
            raise UserError(self.error)


def _summary(kept: SavedConversation) -> Summary:
    title = kept.title or next((t.content for t in kept.turns if t.role == "user"), "")
    return Summary(kept.id, title, kept.model, len(kept.turns), "2026-01-02 03:04:05")
