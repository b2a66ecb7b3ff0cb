"""Whole answers of a tiny model that are held to a form by llguidance, read by those who check it.

The model knows nothing: without a guide, it would not write a single bracket where it belongs.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Constraint, Request
from localfp4.text.parsers.parser import NEW_ANSWER
from tests.engine.traffic import Outcome, run
from tests.runner.drafting import plain_engine, speculating_engine

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 3},
        "home": {"anyOf": [{"type": "null"}, {"const": "Oslo"}]},
    },
    "required": ["name", "age", "tags", "home"],
    "additionalProperties": False,
}


def follows_schema(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text)))


FORMS: list[tuple[Constraint, Callable[[str], Any]]] = [
    (Constraint("json_schema", json.dumps(SCHEMA)), follows_schema),
    (
        Constraint("regex", "[a-f]{3}-[0-9]{2,4}(é|🙂)"),
        lambda text: re.fullmatch("[a-f]{3}-[0-9]{2,4}(é|🙂)", text),
    ),
    (
        Constraint("choice", '["yes", "no", "perhaps"]'),
        lambda text: text in ("yes", "no", "perhaps"),
    ),
    (
        Constraint("grammar", 'start: "(" start ")" | "x"{1,3}'),
        lambda text: re.fullmatch(r"\(*x{1,3}\)*", text) and text.count("(") == text.count(")"),
    ),
]


@pytest.fixture(scope="module")
def plain(sharp_model: Path) -> Engine:
    return plain_engine(sharp_model)


@pytest.fixture(scope="module")
def drafting(sharp_model: Path) -> Engine:
    return speculating_engine(sharp_model, look_up=True)


def request_of(place: int, form: Constraint | None, seed: int = 0, **sampling: Any) -> Request:
    params = SamplingParams(max_tokens=30 if form is None else 120, seed=seed, **sampling)
    message = {"role": "user", "content": f"Say something about {place}."}
    name = f"{place}" if form is not None else f"free {place}"
    return Request(name, messages=(message,), sampling=params, constraint=form)  # type: ignore[arg-type]


def check(outcome: Outcome, holds: Callable[[str], Any]) -> None:
    assert outcome.finished is not None, outcome.failed
    if outcome.finished.reason == "stop":
        assert holds(outcome.text), outcome.text


def everything(**sampling: Any) -> list[Request]:
    """Return one request of each form, and two that are free, one of them with penalties."""
    held = [request_of(n, form, seed=n, **sampling) for n, (form, _) in enumerate(FORMS)]
    free = request_of(5, None, seed=5, **sampling)
    other = request_of(6, None, seed=6, **(sampling | {"repetition_penalty": 1.2}))
    return [free, *held, other]


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param({"temperature": 0.0}, marks=pytest.mark.slow, id="greedy"),
        pytest.param({"temperature": 1.0, "top_p": 0.9, "frequency_penalty": 0.3}, id="penalised"),
        pytest.param(
            {"temperature": 1.5, "top_k": 5, "logprobs": 2}, marks=pytest.mark.slow, id="top_k"
        ),
    ],
)
def test_answers_have_their_form_alone_together_and_with_guesses(
    plain: Engine, drafting: Engine, sampling: dict[str, Any]
) -> None:
    requests = everything(**sampling)
    alone = {request.id: run(plain, [request])[request.id] for request in requests}
    for place, (_, holds) in enumerate(FORMS):
        check(alone[str(place)], holds)
    assert sum(alone[str(n)].finished.reason == "stop" for n in range(len(FORMS))) >= 3  # type: ignore[union-attr]
    together = run(plain, requests)
    guessed = run(drafting, requests)
    for outcomes in (together, guessed):
        for request in requests:
            assert outcomes[request.id].token_ids == alone[request.id].token_ids
            assert outcomes[request.id].text == alone[request.id].text
    drafted = [guessed[str(n)].finished.drafted_tokens for n in range(len(FORMS))]  # type: ignore[union-attr]
    assert sum(drafted) > 0


def test_without_guides_the_model_writes_none_of_these(plain: Engine) -> None:
    """The negative control."""
    free = [
        replace(request_of(place, None, temperature=1.0, seed=place), id=f"{place}")
        for place in range(len(FORMS))
    ]
    outcomes = run(plain, free)
    for place, (_, holds) in enumerate(FORMS):
        try:
            assert not holds(outcomes[f"{place}"].text)
        except json.JSONDecodeError:
            continue


@pytest.mark.parametrize("place", [0, 3])
def test_guesses_leave_a_guide_where_it_was(plain: Engine, place: int) -> None:
    """Those among them that run into the end of the answer, too."""
    model, stream = plain._model, random.Random(place)
    assert model.guides is not None
    make = partial(model.guides.compile, Request("one", prompt="a", constraint=FORMS[place][0]))
    path: list[int] = []
    walk = make(None, NEW_ANSWER)
    while not set(path) & model.stop_ids:
        path.append(stream.choice(allowed_by(walk.masks(())[0])))
        walk.accept(path[-1])
    guessing = make(None, NEW_ANSWER)
    for done, token in enumerate(path):
        ahead = path[done : done + stream.randrange(6)]
        drafts = ahead[: guessing.allowed([*ahead, 0])]
        assert drafts == [guess for guess in ahead if guess not in model.stop_ids]
        following, rows = make(None, NEW_ANSWER), guessing.masks(drafts)
        for known in path[:done]:
            following.accept(known)
        for row, guess in zip(rows, [*drafts, None], strict=True):
            assert (row == following.masks(())[0]).all()
            if guess is not None:
                following.accept(guess)
        guessing.accept(token)
        assert guessing.failure is None


def allowed_by(mask: Any) -> list[int]:
    return [token for token in range(len(mask) * 32) if mask[token // 32] >> (token % 32) & 1]


def test_a_bad_schema_refuses_the_request_alone(plain: Engine) -> None:
    good = request_of(2, FORMS[2][0])
    bad = request_of(9, Constraint("json_schema", '{"type": "nothing"}'))
    outcomes = run(plain, [bad, good])
    assert outcomes["9"].failed is not None
    assert outcomes["9"].failed.kind == "request"
    check(outcomes["2"], FORMS[2][1])
