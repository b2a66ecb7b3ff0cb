"""Answering one request with several choices: order, seeds, and where the engine ends up."""

from collections.abc import Generator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.backend.compare import compare, seeded
from localfp4.config import EngineConfig, SamplingParams
from localfp4.errors import EngineDiedError, UserError
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
from tests.tui.fakes import INFO

BEFORE = Choice("demo")
NARROW, WIDE = Choice("demo", "w4a4"), Choice("demo", "w4a16")
ASK = Request("compare-1", messages=({"role": "user", "content": "Why?"},))


class FakeEngine:
    """Notes what is loaded and asked; what cannot be loaded, refuses or dies is told by name."""

    def __init__(self, *, alive: bool = True) -> None:
        self.chosen = BEFORE
        self.loaded = BEFORE if alive else None
        self.log: list[str] = []
        self.requests: list[Request] = []

    def load(self, choice: Choice) -> Generator[LoadProgress, None, None]:
        self.chosen, self.loaded = choice, None
        self.log.append(f"load {_name(choice)}")
        yield LoadProgress("starting")
        if choice.model == "missing":
            raise UserError("There is no model missing.")
        yield LoadProgress("reading", 1, 1)
        self.loaded = choice

    def choice(self) -> Choice:
        return self.chosen

    def info(self) -> ModelInfo:
        assert self.loaded is not None
        return replace(INFO, name=_name(self.loaded))

    def stream(self, request: Request) -> Generator[Event, None, None]:
        assert self.loaded is not None
        self.log.append(f"ask {_name(self.loaded)}")
        self.requests.append(request)
        yield Started(request.id, 3)
        if self.loaded.model == "mortal":
            self.loaded = None
            raise EngineDiedError("The engine died.")
        if self.loaded.model == "choosy":
            yield Failed(request.id, "Too long.")
            return
        yield Delta(request.id, _name(self.loaded), (1,))
        yield Finished(request.id, "stop", 3, 0, 1, 0.1, 0.2)

    def alive(self) -> bool:
        return self.loaded is not None

    def end_at(self, choice: Choice) -> None:
        self.log.append(f"end at {_name(choice)}")
        self.chosen, self.loaded = choice, None


def _name(choice: Choice) -> str:
    return f"{choice.model}:{choice.precision or 'auto'}"


def configured(choice: Choice) -> EngineConfig:
    return EngineConfig(choice.model, precision=choice.precision or "auto")


def comparing(
    engine: FakeEngine, *choices: Choice, request: Request = ASK
) -> Generator[Compared, None, None]:
    return compare(engine, request, choices, configured=configured, end_at=engine.end_at)


def test_each_choice_is_loaded_and_asked_and_then_what_was_loaded_is_back() -> None:
    engine = FakeEngine()
    news = list(comparing(engine, NARROW, WIDE))
    assert engine.log == [
        "load demo:w4a4",
        "ask demo:w4a4",
        "load demo:w4a16",
        "ask demo:w4a16",
        "load demo:auto",
    ]
    assert engine.loaded == engine.chosen == BEFORE
    for side, name in enumerate(("demo:w4a4", "demo:w4a16")):
        kinds = [type(one.news).__name__ for one in news if one.side == side]
        assert kinds == ["LoadProgress"] * 2 + ["ModelInfo", "Started", "Delta", "Finished"]
        (info,) = [o.news for o in news if o.side == side and isinstance(o.news, ModelInfo)]
        (delta,) = [o.news for o in news if o.side == side and isinstance(o.news, Delta)]
        assert info.name == delta.text == name
    assert [one.news for one in news if one.side == 2] == [
        LoadProgress("starting"),
        LoadProgress("reading", 1, 1),
    ]


def test_what_is_loaded_is_asked_first_and_not_loaded_anew() -> None:
    engine = FakeEngine()
    news = list(comparing(engine, WIDE, Choice("demo", "auto")))
    assert engine.log == ["ask demo:auto", "load demo:w4a16", "ask demo:w4a16", "load demo:auto"]
    assert [one.side for one in news][:4] == [1, 1, 1, 1]


def test_an_engine_that_does_not_run_is_loaded() -> None:
    engine = FakeEngine(alive=False)
    list(comparing(engine, BEFORE, WIDE))
    assert engine.log[0] == "load demo:auto"
    assert engine.loaded == BEFORE


def test_every_side_has_the_same_seed_and_an_id_of_its_own() -> None:
    engine = FakeEngine()
    list(comparing(engine, NARROW, WIDE))
    first, second = engine.requests
    assert first.sampling.seed is not None
    assert replace(first, id=second.id) == second
    assert first.id != second.id
    assert first.messages == ASK.messages
    chosen = replace(ASK, sampling=SamplingParams(seed=7))
    assert seeded(chosen) is chosen
    assert seeded(ASK).sampling.seed != seeded(ASK).sampling.seed


def test_a_side_that_refuses_does_not_end_the_comparison() -> None:
    engine = FakeEngine()
    news = list(comparing(engine, Choice("choosy"), WIDE))
    assert [one.side for one in news if isinstance(one.news, Failed)] == [0]
    assert [one.side for one in news if isinstance(one.news, Finished)] == [1]
    assert engine.loaded == BEFORE


@pytest.mark.parametrize(
    ("choices", "error"),
    [
        ((Choice("missing"), WIDE), "no model missing"),
        ((BEFORE, Choice("missing")), "no model missing"),
        ((WIDE, Choice("mortal")), "engine died"),
        ((Choice("mortal"), BEFORE), "engine died"),
    ],
)
def test_an_error_ends_it_and_the_next_load_is_of_what_was_there(
    choices: tuple[Choice, ...], error: str
) -> None:
    engine = FakeEngine()
    with pytest.raises(UserError, match=error):
        list(comparing(engine, *choices))
    assert engine.chosen == BEFORE
    assert engine.loaded is None


@settings(max_examples=30, deadline=None)
@given(
    st.permutations([BEFORE, NARROW, WIDE, Choice("choosy"), Choice("missing")]),
    st.integers(0, 30),
    st.booleans(),
)
def test_however_it_ends_the_engine_is_back_or_closed(
    choices: list[Choice], taken: int, alive: bool
) -> None:
    engine = FakeEngine(alive=alive)
    news = comparing(engine, *choices[:2])
    try:
        for _ in range(taken):
            next(news)
    except (StopIteration, UserError):
        pass
    news.close()
    assert engine.chosen == BEFORE
    assert engine.loaded in (BEFORE, None)
