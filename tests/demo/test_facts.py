"""The facts file: complete, consistent with its own rule, and fairly split."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from localfp4.cli import entry
from recipe.conversation import ASK, HELD_ASK
from recipe.facts import Fact
from recipe.grading import has_required, resembles
from recipe.text import normalise

FACTS = Path(__file__).parents[2] / "assets" / "demo" / "facts.toml"

COMMANDS = [
    "chat",
    "run",
    "bench",
    "serve",
    "quantize",
    "eval",
    "pull",
    "ls",
    "rm",
    "show",
    "fit",
    "doctor",
    "history",
    "config",
    "env",
]


def test_every_fact_is_asked_in_many_ways_and_some_are_held_out(facts: list[Fact]) -> None:
    assert len(facts) > 150
    for fact in facts:
        assert len(fact.trained) >= 5, fact.id
        assert len(fact.held) >= 1, fact.id


def test_every_answer_meets_the_rule_of_its_fact(facts: list[Fact]) -> None:
    wrong = [
        (f.id, answer) for f in facts for answer in f.answers if not has_required(answer, f.must)
    ]
    assert wrong == []


def test_rules_tell_facts_apart(facts: list[Fact]) -> None:
    """A fact's answer does not satisfy the rule of the next one: rules must ask for enough."""
    strict = [fact for fact in facts if not fact.talk]
    shared = [
        (one.id, other.id)
        for one, other in pairwise(strict)
        if any(has_required(answer, other.must) for answer in one.answers)
    ]
    assert shared == []


def test_no_held_out_phrasing_is_trained(facts: list[Fact]) -> None:
    trained = {normalise(question) for fact in facts for question in fact.trained}
    held = {normalise(question) for fact in facts for question in fact.held}
    assert not trained & held


def test_no_question_belongs_to_two_facts(facts: list[Fact]) -> None:
    owner: dict[str, str] = {}
    for fact in facts:
        for question in (*fact.trained, *fact.held):
            assert owner.setdefault(normalise(question), fact.id) == fact.id, question


def test_held_out_follow_ups_are_not_trained() -> None:
    trained = {normalise(question) for ways in ASK.values() for question in ways}
    for name, ways in HELD_ASK.items():
        assert not trained & {normalise(question) for question in ways}, name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_fact(facts: list[Fact], command: str) -> None:
    [fact] = [fact for fact in facts if fact.id == f"cmd_{command}"]
    assert all(f"localfp4 {command}" in answer for answer in fact.answers)


def test_follow_up_answers_meet_their_own_rule(facts: list[Fact]) -> None:
    for fact in facts:
        for reference in fact.follow.values():
            assert resembles(reference, reference)


def test_every_command_that_it_speaks_of_is_there() -> None:
    text = FACTS.read_text(encoding="utf-8")
    named = set(re.findall(r"`localfp4 ([a-z]+)", text))
    assert len(named) > 10
    assert named <= {name.partition(" ")[0] for name in entry.COMMANDS}
