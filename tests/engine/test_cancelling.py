"""A request may be cancelled in every state: its pages are free, and nothing more is heard of it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.engine.intake import Prepared
from localfp4.messages import Event, Finished, Request
from tests.engine.deferred import ahead_of
from tests.engine.traffic import load, random_tokens

POOL: dict[str, Any] = {"max_model_len": 256, "kv_cache_tokens": 384, "threads": 1}


class Life(RuleBasedStateMachine):
    """Requests come, are prepared, queued, run and cancelled, in any order."""

    model: Engine

    @initialize(ahead=st.booleans())
    def start(self, ahead: bool) -> None:
        options: dict[str, Any] = {"max_batch": 3, "max_step_tokens": 100, **POOL}
        name = self.model.info.name
        self.engine = Engine(EngineConfig(name, **options), self.model._model)
        if ahead:
            self.engine, _ = ahead_of(self.engine, **options)
        self.count = 0
        self.prepared: list[Prepared] = []
        self.alive: set[str] = set()
        self.cancelled: set[str] = set()
        self.ended: set[str] = set()

    @rule(
        length=st.integers(1, 150),
        answer=st.integers(1, 30),
        shared=st.booleans(),
        background=st.booleans(),
        client=st.sampled_from("ab"),
    )
    def prepare(
        self, length: int, answer: int, shared: bool, background: bool, client: str
    ) -> None:
        self.count += 1
        tokens = random_tokens(0 if shared else self.count, length)
        request = Request(
            str(self.count),
            token_ids=tuple(tokens),
            sampling=SamplingParams(temperature=0, max_tokens=answer, ignore_eos=True),
            background=background,
            client=client,
        )
        prepared = self.engine.prepare(request, arrived_s=0.0)
        assert isinstance(prepared, Prepared)
        self.prepared.append(prepared)

    @precondition(lambda self: self.prepared)
    @rule(data=st.data())
    def enter(self, data: st.DataObject) -> None:
        prepared = self.prepared.pop(data.draw(st.integers(0, len(self.prepared) - 1)))
        self.engine.enter(prepared)
        self.alive.add(prepared.started.id)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.alive)))
        self.engine.cancel(name)
        self.alive.remove(name)
        self.cancelled.add(name)

    @rule(times=st.integers(1, 4))
    def step(self, times: int) -> None:
        for _ in range(times):
            self._hear(self.engine.step() if self.engine.has_work() else [])
            assert not self.cancelled, "a step after it was cancelled, all is said"

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            assert event.id not in self.ended
            if isinstance(event, Finished):
                assert (event.reason == "cancelled") == (event.id in self.cancelled)
                self.alive.discard(event.id)
                self.cancelled.discard(event.id)
                self.ended.add(event.id)

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check_pages()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        while self.engine.has_work():
            self._hear(self.engine.step())
        assert not self.alive | self.cancelled
        assert self.engine.stats().kv_used_tokens == 0


@pytest.fixture(scope="module")
def life(sharp_model: Path) -> type[Life]:
    class Lives(Life):
        model = load(EngineConfig(str(sharp_model), dtype="float32", **POOL))

    return Lives


CHECKS = settings(
    max_examples=12, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
)


def test_whatever_is_cancelled_is_over_with_the_next_step(life: type[Life]) -> None:
    run_state_machine_as_test(life, settings=CHECKS)


@pytest.mark.slow
def test_whatever_is_cancelled_is_over_with_the_next_step_at_length(life: type[Life]) -> None:
    many = settings(CHECKS, max_examples=150, stateful_step_count=60)
    run_state_machine_as_test(life, settings=many)
