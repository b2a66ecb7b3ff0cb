"""Answers that are held to a form: by themselves, among others, with guesses, and starting over."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.engine.sequence import Sequence as Running
from localfp4.errors import RequestError
from localfp4.messages import Constraint, Request
from localfp4.runner.guide import Guide
from localfp4.text.parsers.choose import AnswerFormat
from localfp4.text.parsers.parser import Opening
from tests.engine.deferred import ahead_of
from tests.engine.test_guesses import Prophet
from tests.engine.test_run_ahead import KINDS, SMALL, engines, traffic
from tests.engine.traffic import Outcome, random_requests, random_tokens, run
from tests.runner.drafting import (
    Eager,
    plain_engine,
    recorded,
    save_with_head,
    speculating_engine,
)
from tests.runner.guides import Rounds

__all__ = ["engines"]

Engines = Callable[[str], Engine]

VOCAB = 272
FORM = Constraint("json_object")
"""Any: what makes guides here looks at the request's name alone."""


class Compiler:
    """Gives every request the rules that its name stands for, and keeps the guides."""

    def __init__(self, vocab: int, end: int | None, choices: int) -> None:
        self.guides: dict[str, list[Rounds]] = {}
        self._vocab = vocab
        self._end = end
        self._choices = choices

    def compile(
        self, request: Request, answer_format: AnswerFormat | None, opening: Opening
    ) -> Guide:
        guide = Rounds(
            self._vocab, seed=sum(request.id.encode()), choices=self._choices, end=self._end
        )
        self.guides.setdefault(request.id, []).append(guide)
        return guide


class Possible(Prophet):
    """Tells what can come at all."""

    def propose(self, sequence: Running, room: int) -> tuple[int, ...]:
        return sequence.possible(super().propose(sequence, room))


def guided(engine: Engine, end: int | None = None, choices: int = 6) -> tuple[Engine, Compiler]:
    """Return the same engine with guides."""
    compiler = Compiler(engine._model.runner.decoder.spec.vocab_size, end, choices)
    engine._model = replace(engine._model, guides=compiler)  # type: ignore[arg-type]
    engine._intake = replace(engine._intake, model=engine._model)
    return engine, compiler


def alone(engine: Engine, request: Request) -> Outcome:
    return run(engine, [request])[request.id]


def mixed(count: int, seed: int) -> list[Request]:
    """Return requests of which every third is free."""
    return [
        request if place % 3 == 2 else replace(request, constraint=FORM)
        for place, request in enumerate(random_requests(count, seed))
    ]


@pytest.mark.parametrize(
    ("kind", "right"),
    [("gemma3", None), ("qwen3_5", 0.5)]
    + [
        pytest.param(kind, right, marks=pytest.mark.slow)
        for kind in KINDS
        for right in (None, 0.5, 1.0)
    ],
)
def test_answers_follow_their_guides_in_a_tiny_pool(
    engines: Engines, kind: str, right: float | None
) -> None:
    """Free and held ones together, with guesses, some cancelled, some starting over."""
    plain, compiler = guided(engines(kind))
    requests = mixed(6, seed=6)
    expected = {request.id: alone(plain, request) for request in requests}
    prophet = None
    if right is not None:
        prophet = Possible(right)
        prophet.answers = {name: outcome.token_ids for name, outcome in expected.items()}
    engine, runner = ahead_of(plain, prophet, **SMALL, max_batch=4, max_step_tokens=100)
    outcomes = traffic(engine, requests, {requests[4].id: 12}, seed=3)
    for request in requests:
        got = outcomes[request.id].token_ids
        assert got == expected[request.id].token_ids[: len(got)]
        assert got or request is requests[4]
        if request.constraint is not None:
            assert compiler.guides[request.id][-1].fits(got)
    if right is not None:
        assert runner.checked > 10
    engine.check_pages()


def test_no_step_is_launched_before_the_token_before_it_is_known(engines: Engines) -> None:
    plain, compiler = guided(engines("sharp"))
    engine, runner = ahead_of(plain, **SMALL)
    params = SamplingParams(max_tokens=12, temperature=1.0, seed=1, ignore_eos=True)
    request = Request("one", token_ids=(5, 6, 7), sampling=params, constraint=FORM)
    outcome = alone(engine, request)
    assert (runner.launches, runner.ahead) == (12, 0)
    [guide] = compiler.guides["one"]
    assert guide.fits(outcome.token_ids)
    assert guide.asked == [()] * 12
    # The last token ends the answer, and nothing comes after it.
    assert guide.accepted == outcome.token_ids[:-1]
    free = alone(engine, replace(request, constraint=None))
    assert runner.ahead == 11
    assert not guide.fits(free.token_ids)


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_an_answer_ends_where_its_guide_lets_it(engines: Engines, temperature: float) -> None:
    engine, compiler = guided(engines("sharp"), end=9)
    ends = []
    for seed in range(6):
        params = SamplingParams(
            max_tokens=50, temperature=temperature, seed=seed, stop_token_ids=(9,)
        )
        prompt = tuple(random_tokens(seed, 12))
        request = Request("one", token_ids=prompt, sampling=params, constraint=FORM)
        outcome = alone(engine, request)
        assert outcome.finished is not None
        guide = compiler.guides["one"][-1]
        assert 9 not in outcome.token_ids
        if outcome.finished.reason == "stop":
            assert guide.fits([*outcome.token_ids, 9])
            ends.append(outcome.finished.output_tokens)
        else:
            assert guide.fits(outcome.token_ids)
    assert not any(length % 5 for length in ends)
    assert len(ends) > 1


@pytest.mark.parametrize(
    "source",
    ["mtp", *(pytest.param(source, marks=pytest.mark.slow) for source in ("look up", "draft"))],
)
@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.slow), 0.8])
def test_whatever_drafts_the_answer_is_the_same(
    sharp_model: Path, tmp_path: Path, source: str, temperature: float
) -> None:
    folder = save_with_head(tmp_path) if source == "mtp" else sharp_model
    sources: dict[str, dict[str, Any]] = {
        "look up": {"look_up": True},
        "mtp": {"model": "mtp"},
        "draft": {"model": "draft", "draft": sharp_model},
    }
    # What guesses well without a guide is right more often where it leaves much open.
    choices = 6 if source == "look up" else 150
    plain, _ = guided(plain_engine(folder), choices=choices)
    drafting, cutting = guided(speculating_engine(folder, **sources[source]), choices=choices)
    params = SamplingParams(max_tokens=40, temperature=temperature, seed=3, ignore_eos=True)
    requests = [
        Request(name, token_ids=tuple(random_tokens(5, 20)), sampling=params, constraint=form)
        for name, form in (("a", FORM), ("b", FORM), ("free", None))
    ]
    expected = {request.id: alone(plain, request) for request in requests}
    outcomes = run(drafting, requests)
    for request in requests:
        assert outcomes[request.id].token_ids == expected[request.id].token_ids
    for name in ("a", "b"):
        [guide] = cutting.guides[name]
        assert guide.fits(outcomes[name].token_ids)
    asked = [drafts for name in ("a", "b") for drafts in cutting.guides[name][0].asked]
    assert any(asked), "some guesses were checked"
    if source != "look up":
        made = sum(len(drafts) for _, drafts in recorded(drafting))
        assert sum(map(len, asked)) < made, "others were cut"


@pytest.mark.parametrize("when", [{"fail_launches": [4]}, {"fail_results": [5]}])
def test_a_step_that_fails_costs_no_guide_its_place(
    engines: Engines, when: dict[str, Sequence[int]]
) -> None:
    plain, _ = guided(engines("sharp"))
    params = SamplingParams(max_tokens=12, temperature=1.0, seed=1, ignore_eos=True)
    requests = [
        Request("one", token_ids=(5, 6, 7), sampling=params, constraint=FORM),
        Request("other", token_ids=tuple(range(40)), sampling=params, constraint=FORM),
    ]
    expected = alone(plain, requests[0])
    engine, runner = ahead_of(plain, **SMALL)
    for name, steps in when.items():
        setattr(runner, name, steps)
    outcomes = run(engine, requests)
    failed = [request.id for request in requests if outcomes[request.id].failed]
    assert len(failed) == 1
    if "one" not in failed:
        assert outcomes["one"].token_ids == expected.token_ids


def test_without_a_tokenizer_there_is_no_form(engines: Engines) -> None:
    engine = engines("gemma3")
    engine._intake = replace(engine._intake, model=replace(engine._model, guides=None))
    outcome = alone(engine, Request("one", token_ids=(1,), constraint=FORM))
    assert outcome.failed is not None
    assert "no tokenizer.json" in outcome.failed.message


def test_a_form_that_cannot_be_compiled_refuses_the_request(engines: Engines) -> None:
    class Refusing:
        def compile(self, *arguments: Any) -> Guide:
            raise RequestError("The schema is bad.")

    engine, _ = guided(engines("sharp"))
    model = replace(engine._model, guides=Refusing())  # type: ignore[arg-type]
    engine._intake = replace(engine._intake, model=model)
    outcome = alone(engine, Request("one", token_ids=(1,), constraint=FORM))
    assert outcome.failed is not None
    assert (outcome.failed.message, outcome.failed.kind) == ("The schema is bad.", "request")


def test_an_answer_whose_guide_gives_up_has_failed(engines: Engines) -> None:
    class Failing:
        def compile(self, request: Request, *others: Any) -> Guide:
            return Rounds(VOCAB, fails_after=4 if request.id == "one" else None)

    engine, _ = guided(engines("sharp"))
    model = replace(engine._model, guides=Failing())  # type: ignore[arg-type]
    engine._intake = replace(engine._intake, model=model)
    params = SamplingParams(max_tokens=12, temperature=1.0, seed=1, ignore_eos=True)
    one = Request("one", token_ids=(5, 6, 7), sampling=params, constraint=FORM)
    outcomes = run(engine, [one, replace(one, id="other")])
    assert outcomes["one"].failed is not None
    assert outcomes["one"].failed.message == "This form is too much."
    assert len(outcomes["one"].token_ids) < 5
    assert len(outcomes["other"].token_ids) == 12


def test_an_eager_look_up_takes_only_what_may_come() -> None:
    guide = Rounds(VOCAB)
    allowed = [min(tokens) for tokens in guide.sets]
    speculator = Eager(look_up=True)
    sequence = Running(
        id="one",
        tokens=[*allowed[:3], 300, *allowed[:3]],
        prompt_len=4,
        max_len=99,
        sampling=SamplingParams(),
        stop_ids=frozenset(),
        seed=0,
        guide=guide,
    )
    guide.accepted = list(allowed[:3])
    speculator.begin(1)
    assert speculator.propose(sequence, 8) == (), "what followed before cannot come here"
    sequence.tokens[3] = allowed[3]
    speculator.forget(sequence)
    speculator.begin(1)
    assert speculator.propose(sequence, 8)[:1] == (allowed[3],)
