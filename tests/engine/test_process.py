"""The loop of the engine process, run in a thread over a real pipe."""

import importlib.util
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import EngineConfig
from localfp4.engine.process import EngineLoop
from localfp4.engine.protocol import Cancel, Command, CountTokens, Replied, Shutdown
from localfp4.engine.wire import FrontEndGoneError, Wire
from localfp4.messages import Constraint, Delta, Event, Failed, Finished, Request, Started, Stats

PROMPTLY_S = 20.0


def _fake_engine_module() -> ModuleType:
    path = Path(__file__).with_name("fake_engine.py")
    spec = importlib.util.spec_from_file_location("fake_engine_for_process", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_engine = _fake_engine_module()


class Running:
    """A loop in a thread, and the front end's side of its pipe."""

    def __init__(self) -> None:
        self.engine: Any = fake_engine.FakeEngine(EngineConfig("echo"))
        self.steps = 0
        self.replies: list[Replied] = []
        self.ending: BaseException | None = None
        self.pipe, far_end = Pipe()
        self._far_end: Connection = far_end
        self._count_steps()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, *commands: Command) -> None:
        for command in commands:
            self.pipe.send(command)

    def read_until(self, enough: Callable[[list[Event], list[Stats]], bool]) -> list[Event]:
        events: list[Event] = []
        stats: list[Stats] = []
        while not enough(events, stats):
            assert self.pipe.poll(PROMPTLY_S), f"nothing came after {events}"
            report = self.pipe.recv()
            if isinstance(report, Stats):
                stats.append(report)
            elif isinstance(report, Replied):
                self.replies.append(report)
            else:
                events += report
        return events

    def join(self) -> None:
        self._thread.join(PROMPTLY_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self._thread.join(PROMPTLY_S)
        self._far_end.close()

    def _run(self) -> None:
        try:
            EngineLoop(self.engine, Wire(self._far_end)).run()
        except (FrontEndGoneError, RuntimeError) as error:
            self.ending = error

    def _count_steps(self) -> None:
        step = self.engine.step

        def counted() -> list[Event]:
            self.steps += 1
            return list(step())

        self.engine.step = counted


def _ends(events: list[Event]) -> list[str]:
    return [event.id for event in events if isinstance(event, Finished | Failed)]


def test_it_says_how_it_stands_before_there_is_work_and_does_not_step() -> None:
    with Running() as running:
        running.read_until(lambda _, stats: [s.phase for s in stats] == ["idle"])
        running.send(Shutdown())
        running.join()
        assert running.steps == 0


def test_it_says_once_that_it_is_idle_again() -> None:
    with Running() as running:
        running.send(Request("a", prompt="one two"))
        running.read_until(lambda events, _: _ends(events) == ["a"])
        running.read_until(lambda _, stats: [s.phase for s in stats] == ["idle"])
        steps = running.steps
        running.send(Shutdown())
        running.join()
        assert running.steps == steps


def test_it_steps_only_while_there_is_work() -> None:
    with Running() as running:
        running.send(Request("a", prompt="one"))
        running.read_until(lambda events, _: _ends(events) == ["a"])
        running.send(Cancel("nobody"), Shutdown())
        running.join()
        assert running.steps == 3  # the words "plain" and "one", and the end


class Gate:
    """Holds up the preparation of requests that are named ``slow``."""

    def __init__(self, running: Running) -> None:
        self.prepared: list[str] = []
        self.entered, self.opened = threading.Event(), threading.Event()
        prepare = running.engine.prepare

        def gated(request: Request, *, arrived_s: float) -> object:
            self.prepared.append(request.id)
            if request.id.startswith("slow"):
                self.entered.set()
                assert self.opened.wait(PROMPTLY_S)
            return prepare(request, arrived_s=arrived_s)

        running.engine.prepare = gated


def test_what_takes_long_to_prepare_holds_up_no_answer() -> None:
    with Running() as running:
        gate = Gate(running)
        running.send(Request("a", prompt="repeat 50"), Request("slow", prompt="one"))
        running.send(CountTokens(1, ("x",)), Request("b", prompt="two"))
        running.read_until(lambda events, _: _ends(events) == ["a"])
        gate.opened.set()
        events = running.read_until(lambda events, _: len(_ends(events)) == 2)
        assert [event.id for event in events if isinstance(event, Started)] == ["slow", "b"]
        assert running.replies == [Replied(1, (1,))]
        running.send(Shutdown())


def test_what_is_being_prepared_or_waits_for_it_can_be_cancelled() -> None:
    with Running() as running:
        gate = Gate(running)
        running.send(Request("slow", prompt="one"), Request("later", prompt="one"))
        running.send(Request("last", prompt="one"))
        assert gate.entered.wait(PROMPTLY_S)
        running.send(Cancel("slow"), Cancel("later"), Cancel("nobody"))
        events = running.read_until(lambda events, _: len(events) == 2)
        assert [(event.id, getattr(event, "reason", "")) for event in events] == [
            ("slow", "cancelled"),
            ("later", "cancelled"),
        ]
        running.send(Request("later", prompt="again"))
        gate.opened.set()
        events = running.read_until(lambda events, _: len(_ends(events)) == 2)
        assert gate.prepared == ["slow", "last", "later"]
        assert _ends(events) == ["last", "later"]
        running.send(Shutdown())


@pytest.mark.parametrize(
    "slow",
    [
        Request("slow", prompt="one", constraint=Constraint("json_object")),
        Request("slow", messages=({"role": "user", "content": "x" * 70_000},)),
    ],
)
def test_what_takes_long_to_prepare_holds_up_no_other_request(slow: Request) -> None:
    with Running() as running:
        gate = Gate(running)
        running.send(slow, Request("b", prompt="two"))
        running.read_until(lambda events, _: _ends(events) == ["b"])
        gate.opened.set()
        running.read_until(lambda events, _: _ends(events) == ["slow"])
        running.send(Shutdown())


def test_a_bug_in_preparing_a_request_fails_it_alone() -> None:
    with Running() as running:
        running.send(Request("a", prompt="broken"), Request("b", prompt="one"))
        events = running.read_until(lambda events, _: len(_ends(events)) == 2)
        [failed] = [event for event in events if isinstance(event, Failed)]
        assert failed.id == "a"
        assert "RuntimeError: a template went wrong" in failed.message
        running.send(Shutdown())


def test_a_flood_of_commands_does_not_keep_it_from_stepping() -> None:
    """What comes while commands are being obeyed waits for the step after them."""
    with Running() as running:

        def come_again(request_id: str) -> None:
            with suppress(OSError):  # the test is over
                running.pipe.send(Cancel(request_id))

        running.engine.cancel = come_again
        running.send(Request("a", prompt="repeat 30"), Cancel("nobody"))
        running.read_until(lambda events, _: _ends(events) == ["a"])


def test_it_ends_when_the_front_end_is_gone_while_idle() -> None:
    with Running() as running:
        running.read_until(lambda _, stats: len(stats) == 1)
        running.pipe.close()
        running.join()
        assert isinstance(running.ending, FrontEndGoneError)


def test_it_ends_when_the_front_end_is_gone_while_working() -> None:
    with Running() as running:
        running.send(Request("a", prompt="repeat 1000000"))
        running.read_until(lambda events, _: len(events) > 3)
        running.pipe.close()
        running.join()
        assert isinstance(running.ending, FrontEndGoneError)


def test_a_bug_in_a_step_ends_the_loop() -> None:
    with Running() as running:
        running.send(Request("a", prompt="crash"))
        running.join()
        assert str(running.ending) == "a kernel went wrong"


@pytest.mark.parametrize("bystanders", [0, 3])
def test_a_request_without_memory_fails_alone_and_the_next_one_is_served(bystanders: int) -> None:
    with Running() as running:
        names = [f"b{n}" for n in range(bystanders)]
        running.send(*(Request(name, prompt="one two three") for name in names))
        running.send(Request("a", prompt="oom"), Request("c", prompt="again"))
        events = running.read_until(lambda events, _: len(_ends(events)) == bystanders + 2)
        assert [event.id for event in events if isinstance(event, Failed)] == ["a"]
        assert [e.text for e in events if isinstance(e, Delta) and e.id == "c"] == [
            "plain",
            " again",
        ]
        running.send(Shutdown())
        running.join()


PROMPTS = st.sampled_from(["one", "one two three", "refuse", "oom", "repeat 7"])


@settings(max_examples=40, deadline=None)
@given(
    script=st.lists(st.tuples(PROMPTS, st.booleans()), min_size=1, max_size=12),
    data=st.data(),
)
def test_every_request_ends_exactly_once_whatever_happens_to_the_others(
    script: list[tuple[str, bool]], data: st.DataObject
) -> None:
    requests: list[Command] = [Request(str(n), prompt=p) for n, (p, _) in enumerate(script)]
    cancels: list[Command] = [
        Cancel(str(n)) for n, (_, cancelled) in enumerate(script) if cancelled
    ]
    with Running() as running:
        running.send(*data.draw(st.permutations(requests + cancels)))
        events = running.read_until(lambda events, _: len(_ends(events)) == len(script))
        running.send(Shutdown())
        running.join()

        assert sorted(_ends(events), key=int) == [str(n) for n in range(len(script))]
        for n in range(len(script)):
            mine = [event for event in events if event.id == str(n)]
            assert all(isinstance(event, Started) for event in islice(mine[:-1], 1))
            assert all(isinstance(event, Delta) for event in mine[1:-1])
