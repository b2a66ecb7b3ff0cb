"""The figures of engine and device: followed live, looked up, and measured."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from textual.events import Key

from localfp4.errors import EngineDiedError, RequestError
from localfp4.messages import Delta, Event, Failed, Finished, ModelInfo, Request, Started
from localfp4.reports import Gauges
from localfp4.settings import Settings
from localfp4_tui.bench import BUDGET_S, REPEATS, Bench, Progress, Run, Shape, Spread, sized
from localfp4_tui.curves import area
from localfp4_tui.screens.bench import BenchScreen, bench_content
from localfp4_tui.screens.telemetry import TelemetryScreen
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.widgets.plot import Plot
from tests.tui.fakes import INFO, STATS, FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

GIB = 2**30
MODEL = replace(
    INFO,
    device="NVIDIA GeForce RTX 4080",
    weight_bytes=int(6.4 * GIB),
    kv_cache_bytes=int(1.3 * GIB),
    vocab_size=1000,
    limit_tokens_per_s=118.5,
    load_phases=(("headers", 0.02), ("reading", 1.1)),
    notes=("Only the text part of this model is loaded.",),
)
CARD = Gauges("VRAM", 16 * GIB, int(9.7 * GIB), int(8.3 * GIB), 71.0, 212.0, 1000.0, 0.93)
GUESSING = replace(STATS, drafted_tokens=200, accepted_tokens=131)


def test_an_area_is_filled_from_below_and_marked_where_it_is_not() -> None:
    assert area([None, 1.0, 8.0, 16.0, 99.0], 2, top=16.0) == ["   ██", " ▁███"]
    assert area([0.0, 16.0], 2, top=16.0, mark=16.0) == ["┈█", " █"]
    assert area([0.0, 16.0], 2, top=16.0, mark=4.0) == [" █", "┈█"]
    assert area([1.0], 0, top=1.0) == []
    assert area([1.0], 1, top=0.0) == [" "]


@pytest.mark.parametrize(
    "size",
    [(60, 18), *(pytest.param(size, marks=pytest.mark.slow) for size in ((80, 24), (120, 40)))],
)
@in_event_loop
async def test_the_figures_are_followed_live_at_every_size(size: tuple[int, int]) -> None:
    backend = FakeBackend(info=MODEL)
    backend.newest_gauges, backend.newest_stats = CARD, GUESSING
    async with chatting(backend, size=size) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        backend.say("Words", tokens=100)
        await chat.press("f3")
        await chat.sees("Speed", "96 tok/s", "Power", "212 W", "71 °C", "Busy", "93%")
        await chat.sees("weights", "6.4 GiB", "40%", "Context", "140 of 2048")
        await chat.sees("448 of 16384", "66% right", "█")
        assert all(len(line) <= size[0] for line in chat.lines)
        backend.newest_gauges = replace(CARD, temperature_c=83.0, power_w=None)
        await chat.sees("83 °C")
        await chat.sees_no("212 W")
        backend.newest_gauges = replace(CARD, energy_j=1038.0)
        backend.finish()
        await chat.sees("Of limit", "81%", "41 ms", "38 J, 0.092 J a token")
        backend.newest_stats = replace(GUESSING, kv_used_tokens=0)
        await chat.sees("0 of 16384 while idle")
        await chat.press("f3")
        await chat.until(lambda: not isinstance(chat.app.screen, TelemetryScreen))


@in_event_loop
async def test_the_figures_of_a_computer_that_tells_nothing_are_few() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.press("f3")
        await chat.sees("Speed", "Context", "0 of 2048")
        shown = [plot for plot in chat.app.screen.query(Plot) if plot.display]
        assert len(shown) == 1
        assert "GiB" not in chat.text
        for size in ((40, 10), (20, 5), (5, 2), (80, 24)):
            await chat.pilot.resize_terminal(*size)
            await chat.has_height(chat.app.screen, size[1])
        await chat.press("escape")
        await chat.sees("Message")


@in_event_loop
async def test_stats_tell_model_loading_device_and_speed() -> None:
    backend = FakeBackend(["Yes."], info=MODEL)
    backend.newest_gauges, backend.newest_stats = replace(CARD, slowed_by=("heat",)), GUESSING
    async with chatting(backend, size=(110, 50)) as chat:
        await chat.send("go")
        await chat.sees("412 tok", "idle")
        await chat.until(lambda: chat.device)
        await chat.send("/stats")
        await chat.sees("Limit", "118 tok/s at most", "Note", "Only the text part")
        await chat.sees("Loaded in", "Headers", "20 ms", "Reading", "1.1 s")
        await chat.sees("9.7 of 16 GiB", "8.3 GiB the engine's, 1.4 GiB other programs'")
        await chat.sees("71 °C", "212 W", "Slowed by", "heat")
        await chat.sees("448 of 16384 tokens", "131 of 200 tokens (66%)")
        await chat.sees("Decode", "96 tok/s, 81% of the limit")


@in_event_loop
async def test_a_measurement_from_beginning_to_end() -> None:
    async with chatting(FakeBackend(info=MODEL)) as chat:
        await chat.send("/bench")
        await chat.is_asked(1)
        await chat.sees("Speed of demo", "Warming up")
        await _answer(chat)
        await chat.is_asked(2)
        chat.backend.say("", tokens=64)
        await chat.sees(f"Run 1 of at most {REPEATS}", "▓" * 16 + "░" * 16)
        await _answer(chat)
        for number in range(3, REPEATS + 2):
            await chat.is_asked(number)
            await _answer(chat)
        await chat.sees("Mean of 5 runs", "Prefill of 512", "976 ± 0 tok/s", "Decode of 128")
        await chat.sees("96.0 ± 0.0 tok/s", "TTFT", "41 ms", "81% of 118 tok/s")
        await chat.press("escape")
        await chat.until(lambda: not isinstance(chat.app.screen, BenchScreen))
        assert chat.backend.cancelled == []
        prompts = [request.token_ids for request in chat.backend.requests]
        assert len(set(prompts)) == REPEATS + 1, "the prefix cache knows none of them"
        assert [len(prompt or ()) for prompt in prompts] == [32] + [512] * REPEATS
        assert all(0 <= token < 1000 for prompt in prompts for token in prompt or ())
        sampling = chat.backend.requests[-1].sampling
        assert (sampling.max_tokens, sampling.ignore_eos) == (128, True)
        await chat.send("and now?")
        await chat.is_asked(REPEATS + 2)


@in_event_loop
async def test_a_measurement_is_ended_by_escape_and_told_where_it_fails() -> None:
    async with chatting(FakeBackend(info=MODEL)) as chat:
        await chat.send("/bench")
        await chat.is_asked(1)
        await chat.press("escape")
        await chat.until(lambda: not isinstance(chat.app.screen, BenchScreen))
        assert chat.backend.cancelled == [chat.backend.requests[0].id]
        await chat.send("/bench")
        await chat.is_asked(2)
        chat.backend.fail("There is no \x1b[31mroom.")
        await chat.sees("There is no", "room.")
        await chat.press("escape")
        await chat.send("go")
        await chat.is_asked(3)
        await chat.send("/bench")
        await chat.sees("An answer is being written; stop it before measuring.")
        chat.backend.finish()
        await chat.sees("412 tok", "idle")
        await chat.send("/bench")
        await chat.is_asked(4)
        chat.backend.die("The engine was killed.")
        await chat.sees("The engine was killed.")


@in_event_loop
async def test_what_is_typed_right_after_a_measurement_was_ended_goes_to_the_prompt() -> None:
    told, telling = threading.Event(), threading.Event()

    class Slow(FakeBackend):
        def cancel(self, request_id: str) -> None:
            telling.set()
            assert told.wait(10)
            super().cancel(request_id)

    async with chatting(Slow(info=MODEL)) as chat:
        await chat.send("/bench")
        await chat.is_asked(1)
        driver = chat.app._driver
        assert driver is not None
        for key in ("escape", "slash", "t", "i", "t", "l", "e", "enter"):  # at once, as a paste is
            driver.send_message(Key(key, {"slash": "/", "enter": "\r"}.get(key, key)))
        await chat.sees("This chat has no name yet")
        await chat.until(telling.is_set)
        told.set()
        await chat.until(lambda: chat.backend.cancelled)


@in_event_loop
async def test_a_model_that_is_not_ready_is_not_measured() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.send("/bench")
        await chat.sees("The model is not ready to be measured.")
        chat.backend.finish_loading()
        await chat.sees("idle")
        await chat.send("/bench")
        await chat.sees("The size of the model's vocabulary is not known.")


async def _answer(chat: Chat) -> None:
    chat.backend.finish()


class TimedBackend(FakeBackend):
    """Answers with speeds of its own, and lets a clock go on for that long."""

    def __init__(self, *, decode_tokens_per_s: float, prefill_tokens_per_s: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self.cached_tokens = 0
        self._decode, self._prefill = decode_tokens_per_s, prefill_tokens_per_s

    def stream(self, request: Request) -> Iterator[Event]:
        self.requests.append(request)
        prompt, output = len(request.token_ids or ()), request.sampling.max_tokens or 0
        ttft_s = (prompt - self.cached_tokens) / self._prefill
        duration_s = ttft_s + (output - 1) / self._decode
        yield Started(request.id, prompt)
        yield Delta(request.id, "", token_ids=(1,) * output)
        self.now_s += duration_s
        yield Finished(request.id, "length", prompt, self.cached_tokens, output, ttft_s, duration_s)


def measured(backend: TimedBackend, info: ModelInfo = MODEL) -> list[Run]:
    bench = Bench(backend, info, clock=lambda: backend.now_s)
    return [news for news in bench.run() if isinstance(news, Run)]


def test_speeds_are_those_of_the_engine() -> None:
    runs = measured(TimedBackend(decode_tokens_per_s=96.0, prefill_tokens_per_s=5000.0))
    assert len(runs) == REPEATS
    assert {run.shape for run in runs} == {Shape(512, 128)}
    assert Spread.of([run.decode_tokens_per_s for run in runs]).mean == pytest.approx(96.0)
    assert Spread.of([run.prefill_tokens_per_s for run in runs]).mean == pytest.approx(5000.0)


def test_what_came_from_the_cache_does_not_count_as_prefill() -> None:
    backend = TimedBackend(decode_tokens_per_s=96.0, prefill_tokens_per_s=5000.0)
    backend.cached_tokens = 16
    assert measured(backend)[0].prefill_tokens_per_s == pytest.approx(5000.0)


def test_a_slow_model_is_measured_less_and_in_time() -> None:
    backend = TimedBackend(decode_tokens_per_s=5.0, prefill_tokens_per_s=40.0)
    runs = measured(backend)
    assert 1 <= len(runs) < REPEATS
    assert runs[0].shape == Shape(200, 25)
    assert backend.now_s <= BUDGET_S
    glacial = TimedBackend(decode_tokens_per_s=0.1, prefill_tokens_per_s=1.0)
    assert [run.shape for run in measured(glacial)] == [Shape(16, 16)], "once, whatever it takes"


def test_a_short_context_is_respected_and_a_tiny_one_refused() -> None:
    short = replace(MODEL, max_model_len=256, kv_cache_tokens=128)
    backend = TimedBackend(decode_tokens_per_s=96.0, prefill_tokens_per_s=5000.0)
    shape = measured(backend, short)[0].shape
    assert shape == Shape(95, 32)
    with pytest.raises(RequestError, match="context of 63 tokens is too short"):
        Bench(backend, replace(MODEL, max_model_len=63))


def test_a_measurement_that_is_cancelled_asks_for_nothing_more() -> None:
    backend = TimedBackend(decode_tokens_per_s=96.0, prefill_tokens_per_s=5000.0)
    bench = Bench(backend, MODEL)
    news = bench.run()
    assert next(news) == Progress(0, 0, Shape(32, 8))
    bench.cancel()
    assert not [one for one in news if isinstance(one, Run)]
    assert len(backend.requests) == 1
    assert set(backend.cancelled) == {backend.requests[0].id}


@pytest.mark.parametrize("error", [RequestError, EngineDiedError])
def test_what_the_engine_refuses_is_raised(error: type[Exception]) -> None:
    class Refusing(FakeBackend):
        def stream(self, request: Request) -> Iterator[Event]:
            if error is EngineDiedError:
                raise EngineDiedError("No.")
            yield Failed(request.id, "No.")

    with pytest.raises(error, match=r"No\."):
        list(Bench(Refusing(), MODEL).run())


def test_deviations_need_two_figures_and_a_limit_is_shown_where_it_is_known() -> None:
    shape = Shape(512, 128)
    runs = [Run(shape, 5000.0, 90.0, 0.1, 1.0), Run(shape, 6000.0, 110.0, 0.2, 1.0)]
    assert bench_content([], 0.0).plain == ""
    assert "Decode of 128   90.0 tok/s" in bench_content(runs[:1], 0.0).plain
    shown = bench_content(runs, 200.0).plain
    assert "5500 ± 707 tok/s" in shown
    assert "100 ± 14 tok/s" in shown
    assert "50% of 200 tok/s" in shown
    assert "150 ms" in shown


def test_runs_are_shortened_to_the_time_there_is() -> None:
    full = Shape(512, 128)
    assert sized(full, Run(full, 1e4, 1e3, 0.1, 1.0)) == full
    assert sized(full, Run(full, 60.0, 10.0, 0.1, 1.0)) == Shape(300, 50)


@in_event_loop
async def test_what_was_held_while_the_model_loaded_is_not_what_it_holds() -> None:
    backend = FakeBackend(info=MODEL)
    backend.is_alive = True
    session = ChatSession(backend, model="demo", history=None, settings=Settings())
    seen: list[ModelInfo | None] = []

    def end_of_loading() -> Gauges:
        session.info, session.state = MODEL, EngineState.READY
        return CARD

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.telemetry, "add", lambda _, info: seen.append(info))
        patch.setattr(backend, "gauges", end_of_loading)
        await session.look()
        await session.look()
    assert seen == [None, MODEL]
