"""Depth with real engines: what is in the context before is not computed again, and nothing else."""

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.depth import config_for_depth, fill, whole_pages
from localfp4.bench.engines.measure import measure
from localfp4.bench.records import Arrivals
from localfp4.bench.workload import Case, requests
from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine, load_engine
from localfp4.engine.load import load_model
from localfp4.errors import UserError
from localfp4.messages import Event, Request
from tests.bench.narrow import make_narrow
from tests.bench.scripted import ScriptedEngine, finished, request, token

Load = Callable[..., Engine]
RECURRENT = "synthetic:qwen3.6-27b:4"
T = TypeVar("T")


class Counted:
    """An engine that counts the steps since it was last asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.steps = engine, 0
        self.add, self.cancel, self.has_work = engine.add, engine.cancel, engine.has_work

    def step(self) -> list[Event]:
        self.steps += 1
        return self.engine.step()


def loaded(loading: Generator[object, None, T]) -> T:
    while True:
        try:
            next(loading)
        except StopIteration as end:
            done: T = end.value
            return done


@pytest.fixture(params=["attention", "windows", "recurrent"])
def load(
    request: pytest.FixtureRequest, sharp_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Load:
    """Loads a tiny model for some cases; keyword arguments are those of ``EngineConfig``."""
    make_narrow(monkeypatch)
    model = {
        "attention": str(sharp_model),
        "windows": "synthetic:gpt-oss-20b:2",
        "recurrent": RECURRENT,
    }[request.param]

    def load(*cases: Case, **options: object) -> Engine:
        settings = {"max_model_len": 512, "kv_cache_tokens": 1024, "max_step_tokens": 64, **options}
        config = EngineConfig(model, device="cpu", threads=1, speculation="off", **settings)  # type: ignore[arg-type]
        return loaded(load_engine(config_for_depth(config, cases) if cases else config))

    return load


def ran(engine: Engine | Counted, case: Case, seed: str) -> Arrivals:
    info = engine.engine.info if isinstance(engine, Counted) else engine.info
    drawn = requests(case, info.vocab_size, Random(seed))
    fill(engine, case, drawn)
    if isinstance(engine, Counted):
        engine.steps = 0
    return measure(engine, drawn, depth=case.depth)


def test_only_the_prompt_after_the_depth_is_computed(load: Load) -> None:
    """Steps take 64 tokens: two prompts of 30 fit one, and 128 tokens before them would not."""
    case = Case(2, 30, 3, depth=128)
    engine = Counted(load(case))
    for seed in ("1", "2"):
        arrivals = ran(engine, case, seed)
        assert [len(moments) for moments in arrivals.values()] == [3, 3]
        assert engine.steps == 3
    engine.engine.check_pages()


def test_every_length_of_prompt_begins_where_the_depth_ends(load: Load) -> None:
    shapes = [(1, 1, 1, 64), (1, 64, 2, 0), (2, 65, 1, 192), (1, 129, 1, 64), (1, 64, 1, 128)]
    cases = [Case(*shape) for shape in shapes]
    engine = load(*cases)
    for case in cases:
        ran(engine, case, str(case))


def test_without_what_was_kept_the_case_fails_in_words(load: Load) -> None:
    case = Case(2, 10, 2, depth=64)
    engine = load(prefix_caching=False)
    with pytest.raises(CaseFailedError) as caught:
        ran(engine, case, "1")
    assert str(caught.value) == (
        "2 of 2 contexts were no longer in the cache to their depth of 64 tokens (one had 0); take a "
        "smaller batch or depth."
    )
    ran(engine, Case(1, 10, 2), "2")


def test_a_prompt_that_was_computed_before_is_no_measurement(load: Load) -> None:
    case = Case(1, 100, 2, depth=64)
    engine = load(case)
    ran(engine, case, "same")
    with pytest.raises(CaseFailedError, match="128 tokens of a prompt had been computed before"):
        ran(engine, case, "same")


@pytest.mark.parametrize(("snapshots", "lost"), [(3, 0), (1, 2)])
def test_states_of_recurrent_layers_need_room_at_every_depth(
    snapshots: int, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of four takes a slot while three wait with their states; less room, and some are lost."""
    make_narrow(monkeypatch)
    case = Case(4, 10, 2, depth=64)
    sizes = EngineConfig(RECURRENT, device="cpu", threads=1, max_model_len=128)
    config = config_for_depth(replace(sizes, kv_cache_tokens=1024, speculation="off"), [case])
    model = loaded(load_model(config))
    engine = Engine(config, replace(model, state_slots=4, state_snapshots=snapshots))
    if not lost:
        ran(engine, case, "1")
        return
    with pytest.raises(CaseFailedError, match=f"{lost} of 4 contexts were no longer in the cache"):
        ran(engine, case, "1")


def test_one_context_of_several_that_was_lost_is_told() -> None:
    events: list[Event] = [token("a"), finished("a", 64), token("b"), finished("b", 0)]
    engine = ScriptedEngine([(1.0, events)])
    drawn = [request("a", 70, 1), request("b", 70, 1)]
    with pytest.raises(CaseFailedError, match="1 of 2 contexts"):
        measure(engine, drawn, engine.clock, depth=64)


def test_the_beginnings_are_those_of_the_prompts_one_token_longer_than_the_depth() -> None:
    asked: list[Request] = []

    class Listening(ScriptedEngine):
        def add(self, request: Request) -> None:
            asked.append(request)

    case = Case(3, 10, 5, depth=128)
    drawn = requests(case, 100, Random(0))
    fill(Listening([]), case, drawn)
    assert [one.token_ids for one in asked] == [
        one.token_ids[:129] for one in drawn if one.token_ids
    ]
    assert {len(one.token_ids or ()) for one in drawn} == {138}
    assert {one.sampling.max_tokens for one in asked} == {1}
    assert not {one.id for one in asked} & {one.id for one in drawn}


def test_pages_are_kept_where_a_case_needs_them_and_only_there() -> None:
    config = EngineConfig("m")
    deep = config_for_depth(config, [Case(1, 1, 1), Case(1, 1, 1, depth=64)])
    flat = config_for_depth(config, [Case(1, 1, 1)])
    assert (deep.prefix_caching, deep.kv_ram_bytes) == (True, 0)
    assert not flat.prefix_caching


@pytest.mark.parametrize(
    ("depth", "instead"),
    [(1, "write 64."), (100, "write 64 or 128."), (4097, "write 4096 or 4160.")],
)
def test_a_depth_is_whole_pages(depth: int, instead: str) -> None:
    sentence = (
        f"A depth of {depth} tokens is not whole pages of 64, which is what the cache keeps; "
    )
    with pytest.raises(UserError) as caught:
        whole_pages([64, depth])
    assert str(caught.value) == sentence + instead
    with pytest.raises(CaseFailedError) as failed:
        fill(ScriptedEngine([]), Case(1, 1, 1, depth), [])
    assert (str(failed.value), failed.value.status) == (sentence + instead, "unsupported")
