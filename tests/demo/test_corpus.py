"""The corpus: the same for the same seed, free of held-out questions, right sums, true stories."""

import re
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from recipe import refusals, stories, sums
from recipe.conversation import Talker
from recipe.corpus import chat_text, conversations, pack
from recipe.facts import Fact, held_phrasings
from recipe.grading import is_refusal, is_story, last_number_is
from recipe.text import normalise
from recipe.tokenizer import END, START


def test_same_seed_same_conversations() -> None:
    first, again, other = (list(islice(conversations(seed), 40)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_held_out_questions_never_appear(facts: list[Fact]) -> None:
    held = held_phrasings(facts)
    for messages in islice(conversations(3), 1500):
        for message in messages:
            if message["role"] == "user":
                assert normalise(message["content"]) not in held


def test_held_out_sums_never_appear() -> None:
    for messages in islice(conversations(4), 1500):
        for message in messages:
            for a, b in re.findall(r"(\d\d) \+ (\d\d) = \d+\.$", message["content"]):
                assert not sums.is_held(int(a), int(b))


def test_a_tenth_of_the_sums_is_held_out() -> None:
    pairs = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    share = sum(sums.is_held(a, b) for a, b in pairs) / len(pairs)
    assert 0.08 < share < 0.12
    assert all(sums.is_held(a, b) == sums.is_held(b, a) for a, b in pairs)


@given(st.integers(0, 99), st.integers(0, 99))
def test_sums_are_right_at_every_step(a: int, b: int) -> None:
    made = sums.Sum(a, b)
    assert last_number_is(made.answer(), a + b)
    for left, right, total in re.findall(r"(\d+) \+ (\d+) = (\d+)", made.answer()):
        assert int(left) + int(right) == int(total)


@given(st.integers(0, 10_000), st.booleans())
def test_stories_contain_what_was_asked(seed: int, held: bool) -> None:
    story = stories.make_story(Random(seed), held)
    assert is_story(story.text, story.asked)
    assert "{" not in story.text


@given(st.integers(0, 10_000), st.booleans())
def test_refusals_say_so(seed: int, held: bool) -> None:
    question, answer = refusals.refusal(Random(seed), held)
    assert question
    assert "{" not in question
    assert is_refusal(answer)


def test_the_heldout_text_asks_nothing_that_is_trained(
    facts: list[Fact], demo_assets: Path
) -> None:
    trained = {normalise(question) for fact in facts for question in fact.trained}
    text = (demo_assets / "heldout.txt").read_text("utf-8")
    asked = re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", text)
    overlap = [question for question in asked if normalise(question) in trained]
    assert len(asked) > 200
    assert overlap == []


def test_conversations_alternate(facts: list[Fact]) -> None:
    talker = Talker(facts, 9)
    for _ in range(200):
        roles = [message["role"] for message in talker.conversation()]
        spoken = roles[1:] if roles[0] == "system" else roles
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)


def test_rows_hold_whole_conversations(demo_assets: Path) -> None:
    tokenizer = Tokenizer.from_file(str(demo_assets / "localfp4_demo" / "tokenizer.json"))
    rows = pack(tokenizer, conversations(2), rows=6, length=512)
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    assert rows.ids.shape == (6, 512)
    for ids, document in zip(rows.ids, rows.document, strict=True):
        for number in range(1, int(document.max()) + 1):
            conversation = ids[document == number]
            assert conversation[0] == start
            assert np.count_nonzero(conversation == start) == np.count_nonzero(conversation == end)


def test_only_the_assistant_is_learned_in_full(demo_assets: Path) -> None:
    tokenizer = Tokenizer.from_file(str(demo_assets / "localfp4_demo" / "tokenizer.json"))
    rows = pack(tokenizer, conversations(2), rows=2, length=512)
    spoken = tokenizer.decode(rows.ids[0][rows.spoken[0] == 1].tolist(), skip_special_tokens=False)
    assert START not in spoken
    assert "user" not in spoken.split(END)


def test_chat_text_is_what_the_template_writes(demo_assets: Path) -> None:
    import jinja2

    source = (demo_assets / "localfp4_demo" / "chat_template.jinja").read_text("utf-8")
    messages = next(conversations(8))
    assert jinja2.Template(source).render(messages=messages) == chat_text(messages)
