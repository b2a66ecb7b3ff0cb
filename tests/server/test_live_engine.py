"""The engine process behind the event loop: queues, ends, deaths and slow readers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.client import EngineClient
from localfp4.engine.inbox import Inbox
from localfp4.errors import ModelNotFoundError
from localfp4.messages import Delta, Event, Failed, Finished, LoadProgress, Request, Started
from localfp4.server import keeper
from localfp4.server.defaults import NOTHING_GIVEN, Defaults
from localfp4.server.errors import ApiError
from localfp4.server.live_engine import LiveEngine
from localfp4.server.mailbox import Answers
from localfp4.server.settings import ServerSettings

PROMPTLY_S = 20.0
_FAKES = str(Path(__file__).parents[1] / "engine")


@pytest.fixture(autouse=True)
def _logs_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(_FAKES)


@pytest.fixture(scope="module")
def loaded() -> Iterator[EngineClient]:
    """One process for the tests that leave it alive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_FAKES)
        client = _client()
        list(client.load())
        yield client
        client.close()


def _client(model: str = "echo") -> EngineClient:
    return EngineClient(EngineConfig(model), loader="fake_engine:load_engine")


class _Loaded(EngineClient):
    """A client whose process runs already, and goes on when this one is closed.

    Attributes:
        asked: Ids of what was submitted.
        ends: How answers ended by their ids, also those that nobody waits for any more.
    """

    def __init__(self, client: EngineClient) -> None:
        super().__init__(client._config)
        self._link = client._link
        self.asked: list[str] = []
        self.ends: dict[str, str] = {}

    def load(self) -> Any:
        yield from ()

    def submit(self, request: Request, inbox: Inbox) -> None:
        super().submit(request, _Witness(inbox, self.ends))
        self.asked.append(request.id)

    def close(self) -> None:
        """Leave nothing running to the next test."""
        for request_id in self.asked:
            self.cancel(request_id)


class _Witness:
    """An inbox that remembers ends, and passes everything on."""

    def __init__(self, inbox: Inbox, ends: dict[str, str]) -> None:
        self._inbox = inbox
        self._ends = ends

    def put(self, event: Event | None, /) -> None:
        if isinstance(event, Finished | Failed):
            self._ends[event.id] = event.reason if isinstance(event, Finished) else "failed"
        self._inbox.put(event)


@asynccontextmanager
async def live(
    client: EngineClient, *, batch: int = 8, defaults: Defaults = NOTHING_GIVEN, **settings: Any
) -> AsyncIterator[LiveEngine]:
    engine = LiveEngine(client, ServerSettings(**settings), batch=batch, defaults=defaults)
    await engine.load(lambda progress: None)
    try:
        yield engine
    finally:
        await engine.close()


def prompt(name: str, text: str) -> Request:
    return Request(name, prompt=text)


async def told(engine: LiveEngine, *requests: Request) -> list[list[Event]]:
    events: list[list[Event]] = [[] for _ in requests]
    async with engine.answering(requests) as arrivals:
        async for arrived in arrivals:
            for place, event in arrived:
                events[place].append(event)
    return events


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PROMPTLY_S):
        while not condition():
            await asyncio.sleep(0.01)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PROMPTLY_S):
            await test()

    asyncio.run(bounded())


def test_answers_that_belong_together_are_told_apart(loaded: EngineClient) -> None:
    async def test() -> None:
        async with live(_Loaded(loaded)) as engine:
            events = await told(engine, prompt("a1", "one two"), prompt("a2", "three"))

        assert [text_of(each) for each in events] == ["plain one two", "plain three"]
        for each in events:
            assert isinstance(each[0], Started)
            assert isinstance(each[-1], Finished)

    run(test)


def test_one_that_is_refused_ends_the_others(loaded: EngineClient) -> None:
    async def test() -> None:
        client = _Loaded(loaded)
        async with live(client) as engine:
            with pytest.raises(ApiError, match="longer than the context") as refusal:
                await told(engine, prompt("b1", "repeat 100000"), prompt("b2", "refuse"))

            assert refusal.value.status == 400
            await until(lambda: client.ends == {"b1": "cancelled", "b2": "failed"})

    run(test)


def test_a_failure_on_the_way_is_an_event(loaded: EngineClient) -> None:
    async def test() -> None:
        async with live(_Loaded(loaded)) as engine:
            ((*_, last),) = await told(engine, prompt("c", "word oom"))

        assert isinstance(last, Failed)

    run(test)


@pytest.mark.parametrize("how", ["leave", "cancel"])
def test_leaving_cancels(loaded: EngineClient, how: str) -> None:
    async def test() -> None:
        client = _Loaded(loaded)
        async with live(client) as engine:
            requests = [prompt(f"{how}{n}", "repeat 100000") for n in range(3)]
            if how == "leave":
                async with engine.answering(requests) as arrivals:
                    await anext(arrivals)
            else:
                reading = asyncio.create_task(told(engine, *requests))
                await until(lambda: len(client.asked) == 3)
                reading.cancel()

            await until(lambda: list(client.ends.values()) == ["cancelled"] * 3)
            assert await told(engine, prompt(f"{how} next", "on"))

    run(test)


def test_the_queue_is_bounded(loaded: EngineClient) -> None:
    async def test() -> None:
        async with live(_Loaded(loaded), batch=2, queue=1) as engine:
            with pytest.raises(ApiError, match="At most 3") as too_much:
                await told(engine, *[prompt(f"d{n}", "a") for n in range(4)])
            async with engine.answering([prompt(f"e{n}", "repeat 100000") for n in range(2)]):
                assert await told(engine, prompt("f", "fits"))
                with pytest.raises(ApiError) as full:
                    await told(engine, prompt("g1", "a"), prompt("g2", "a"))
            assert await told(engine, prompt("h1", "a"), prompt("h2", "a"))

        assert too_much.value.status == 400
        assert (full.value.status, full.value.code) == (503, "queue_full")
        assert full.value.retry_after_s

    run(test)


def test_an_answer_may_take_only_so_long(loaded: EngineClient) -> None:
    async def test() -> None:
        client = _Loaded(loaded)
        async with live(client, timeout_s=0.2) as engine:
            with pytest.raises(ApiError, match=r"0\.2 seconds") as late:
                await told(engine, prompt("late", "repeat 100000"))

            assert late.value.status == 504
            await until(lambda: client.ends == {"late": "cancelled"})

    run(test)


def test_time_is_up_also_for_who_reads_nothing(loaded: EngineClient) -> None:
    async def test() -> None:
        client = _Loaded(loaded)
        async with live(client, timeout_s=0.2) as engine:
            with suppress(ApiError):  # on a busy machine, time may be up before it has begun
                async with engine.answering([prompt("stuck", "repeat 100000")]):
                    await until(lambda: client.ends == {"stuck": "cancelled"})
            await until(lambda: client.ends == {"stuck": "cancelled"})

    run(test)


def test_draining_lets_answers_end_and_takes_no_more(loaded: EngineClient) -> None:
    async def test() -> None:
        async with live(_Loaded(loaded)) as engine:
            reading = asyncio.create_task(told(engine, prompt("i", "repeat 50")))
            await asyncio.sleep(0.02)
            draining = asyncio.create_task(engine.drain())
            await asyncio.sleep(0)
            with pytest.raises(ApiError) as refusal:
                await told(engine, prompt("j", "a"))
            await draining

            assert text_of((await reading)[0]).count("again") == 50
            assert (refusal.value.status, refusal.value.code) == (503, "shutting_down")

    run(test)


def test_stopping_ends_answers_with_a_reason(loaded: EngineClient) -> None:
    async def test() -> None:
        client = _Loaded(loaded)
        async with live(client) as engine:
            reading = asyncio.create_task(told(engine, prompt("k", "repeat 100000")))
            await until(lambda: client.asked == ["k"])
            engine.stop()
            with pytest.raises(ApiError, match="being ended"):
                await reading
            await until(lambda: client.ends == {"k": "cancelled"})

    run(test)


def test_questions_are_answered_while_answers_are_written(loaded: EngineClient) -> None:
    async def test() -> None:
        async with (
            live(_Loaded(loaded)) as engine,
            engine.answering([prompt("l", "repeat 100000")]),
        ):
            assert await engine.encode(prompt("m", "ab")) == [97, 98]
            assert await engine.decode([97, 98]) == "ab"
            assert await engine.texts([97, 98]) == ["a", "b"]
            with pytest.raises(ApiError, match="no tokenizer"):
                await engine.encode(prompt("n", "refuse"))

    run(test)


def test_what_a_request_leaves_open_is_as_the_server_was_started(loaded: EngineClient) -> None:
    async def test() -> None:
        defaults = Defaults({"temperature": 0.1}, thinking=False, reasoning_effort="low")
        async with live(_Loaded(loaded), defaults=defaults) as engine:
            asked = ({"role": "user", "content": "thinking?"},)
            silent = Request("q", messages=asked)  # type: ignore[arg-type]
            events = await told(engine, silent, replace(silent, id="r", thinking=True))

            assert text_of(events[0]) == "thinking=False reasoning_effort=low"
            assert text_of(events[1]) == "thinking=True reasoning_effort=None"
            assert engine.info().sampling == SamplingParams(temperature=0.1, top_k=20)

    run(test)


def test_a_dead_engine_is_started_again_and_health_tells(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "_FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(keeper, "_LOOK_S", 0.02)

    async def test() -> None:
        async with live(_client()) as engine:
            keeping = asyncio.create_task(engine.keep())
            with pytest.raises(ApiError, match="started again") as broken:
                await told(engine, prompt("o", "crash"))
            with pytest.raises(ApiError, match="started again") as refused:
                engine.info()
            assert engine.stats() is None
            await until(lambda: _answers(engine))

            assert text_of((await told(engine, prompt("p", "there")))[0]) == "plain there"
            assert broken.value.status == refused.value.status == 503
            keeping.cancel()

    run(test)
    assert "loaded again" in caplog.text


def _answers(engine: LiveEngine) -> bool:
    try:
        engine.info()
    except ApiError:
        return False
    return True


def test_what_cannot_be_loaded_is_told() -> None:
    async def test() -> None:
        seen: list[LoadProgress] = []
        engine = LiveEngine(_client("missing"), ServerSettings(), batch=1)
        with pytest.raises(ApiError, match="is being loaded"):
            engine.info()
        with pytest.raises(ModelNotFoundError):
            await engine.load(seen.append)
        assert seen
        await engine.close()

    run(test)


def test_an_engine_that_loads_can_be_closed() -> None:
    async def test() -> None:
        seen: list[LoadProgress] = []
        engine = LiveEngine(_client("endless"), ServerSettings(), batch=1)
        loading = asyncio.create_task(engine.load(seen.append))
        await until(lambda: len(seen) > 2)
        with pytest.raises(ApiError, match=r"Reading weights \(50%\)"):
            engine.info()
        await engine.close()
        await asyncio.wait((loading,))
        loading.exception()

    run(test)


def test_what_a_slow_reader_has_not_taken_is_put_together() -> None:
    async def test() -> None:
        answers = Answers(2)
        for place in range(2):
            answers.deliver(place, Started(str(place), 1))
        await answers.begun()
        for number in range(5_000):
            for place in range(2):
                answers.deliver(place, Delta(str(place), f"{number},", (number,), (), "t"))
        for place in range(2):
            answers.deliver(place, Finished(str(place), "stop", 1, 0, 5_000, 0.1, 0.2))

        pieces = 0
        told: list[list[Event]] = [[], []]
        async for arrived in answers.arrivals():
            pieces += len(arrived)
            for place, event in arrived:
                told[place].append(event)

        assert pieces < 300
        for each in told:
            deltas = [event for event in each if isinstance(event, Delta)]
            assert text_of(each) == "".join(f"{number}," for number in range(5_000))
            assert [one for delta in deltas for one in delta.token_ids] == list(range(5_000))
            assert "".join(delta.reasoning for delta in deltas) == "t" * 5_000
            assert isinstance(each[0], Started)
            assert isinstance(each[-1], Finished)

    run(test)
