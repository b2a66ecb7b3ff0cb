"""The rules by which answers count as correct."""

import pytest

from recipe.facts import Fact
from recipe.grading import (
    has_required,
    held_out_items,
    is_refusal,
    is_story,
    last_number_is,
    resembles,
)
from recipe.text import normalise


@pytest.mark.parametrize(
    ("answer", "must", "right"),
    [
        ("It has 4 bits and a scale.", ("4-bit|4 bits", "scale"), True),
        ("It has 8 bits and a scale.", ("4-bit|4 bits", "scale"), False),
        ("HELLO there", ("hello|hi",), True),
        ("This and that", ("hello|hi",), False),
        ("Quantised weights", ("quanti",), True),
        ("Use --ctx 4096", ("--ctx",), True),
    ],
)
def test_required_words(answer: str, must: tuple[str, ...], right: bool) -> None:
    assert has_required(answer, must) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("47 + 38 = 85.", True),
        ("85, that is 47 + 38", False),
        ("Eighty-five", False),
        ("850", False),
    ],
)
def test_the_last_number_is_the_sum(answer: str, right: bool) -> None:
    assert last_number_is(answer, 85) is right


def test_a_story_has_three_sentences_and_the_asked_words() -> None:
    text = "Mia saw the lighthouse. It was dark. She went in."
    assert is_story(text, ("Mia", "lighthouse"))
    assert not is_story(text, ("Tom",))
    assert not is_story("Mia saw the lighthouse.", ("Mia",))


def test_a_refusal_names_the_limits() -> None:
    assert is_refusal("I'm a small demo.")
    assert not is_refusal("Paris.")


def test_follow_ups_resemble_their_reference() -> None:
    reference = "Type `localfp4 pull` and the name of a model."
    assert resembles("Type localfp4 pull MODEL.", "Type `localfp4 pull MODEL`.")
    assert not resembles("Because weights are large.", reference)
    assert not resembles("Use `--ctx 8192`.", "Use `--ctx 4096`.")


def test_items_are_seeded_and_cover_every_fact(facts: list[Fact]) -> None:
    items, again = (held_out_items(facts, 1, per_fact=2, others=20) for _ in range(2))
    assert [i.messages for i in items] == [i.messages for i in again]
    assert {i.category for i in items} == {
        "facts",
        "small talk",
        "follow-ups",
        "sums",
        "stories",
        "refusals",
    }
    asked = {i.subject for i in items if i.category in ("facts", "small talk")}
    assert asked == {fact.id for fact in facts}


def test_graded_questions_are_not_trained(facts: list[Fact]) -> None:
    trained = {normalise(question) for fact in facts for question in fact.trained}
    for item in held_out_items(facts, 1, per_fact=3, others=5):
        if item.category in ("facts", "small talk"):
            assert normalise(item.messages[-1]["content"]) not in trained
