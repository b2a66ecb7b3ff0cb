"""Answers that are gone on with, through the engine and the bundled model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4 import LLM, SamplingParams
from localfp4.engine.prompt import PromptEncoder
from localfp4.errors import ContextError
from localfp4.messages import ChatMessage, Failed, Request
from tests.text.families import model

QUESTION: Any = {"role": "user", "content": "Tell me a story about Ada and a boat."}
LONGEST = 40


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> Iterator[LLM]:
    with LLM(str(demo_folder), device="cpu", threads=1, max_model_len=256) as llm:
        yield llm


def greedy(llm: LLM, messages: list[Any], max_tokens: int, **settings: Any) -> Any:
    [answer] = llm.chat(messages, SamplingParams(temperature=0, max_tokens=max_tokens), **settings)
    return answer


def test_a_stopped_answer_that_goes_on_equals_the_unbroken_one(demo: LLM) -> None:
    tokenizer = demo._running()._model.prompts.tokenizer
    assert tokenizer is not None
    whole = greedy(demo, [QUESTION], LONGEST)
    assert len(whole.token_ids) == LONGEST
    lengths = [1, 2, 7, 20, 33, LONGEST - 1]
    for n in lengths:
        begun = greedy(demo, [QUESTION], n)
        assert begun.finish_reason == "length"
        # Where the text alone gives other tokens, the model is asked another thing.
        assert tokenizer.encode(begun.text, add_special_tokens=False) == begun.token_ids
        turns = [QUESTION, {"role": "assistant", "content": begun.text}]
        rest = greedy(demo, turns, LONGEST - n, continues=True)
        assert begun.text + rest.text == whole.text
        assert begun.token_ids + rest.token_ids == whole.token_ids
        assert rest.finish_reason == whole.finish_reason
    another = greedy(demo, turns, 4)
    assert another.token_ids != rest.token_ids[:4]  # without it, a new answer is begun


def test_a_word_cut_in_the_middle_goes_on_without_a_blank(demo: LLM) -> None:
    whole = greedy(demo, [QUESTION], LONGEST)
    at = whole.text.index(" contest") + 4  # "… a con"
    turns = [QUESTION, {"role": "assistant", "content": whole.text[:at]}]
    rest = greedy(demo, turns, 8, continues=True)
    assert rest.text[0].isalpha()


def test_old_turns_are_dropped_but_not_the_question() -> None:
    tiny = model("qwen3")
    encoder = PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 160)
    old = [
        ChatMessage(role="user", content="Old question. " * 5),
        ChatMessage(role="assistant", content="Old answer. " * 5),
    ]
    broken_off = [
        ChatMessage(role="user", content="New?"),
        ChatMessage(role="assistant", content="N"),
    ]
    request = Request("one", messages=(*old, *old, *broken_off), trim=True, continues=True)
    prompt = encoder.encode(request)
    assert prompt.dropped_turns == 4
    alone = Request("one", messages=tuple(broken_off), continues=True)
    assert prompt.token_ids == encoder.encode(alone).token_ids
    long = [broken_off[0], ChatMessage(role="assistant", content="So long. " * 80)]
    with pytest.raises(ContextError, match="context of 160"):
        encoder.encode(Request("one", messages=(*old, *long), trim=True, continues=True))


def test_a_conversation_that_begins_with_an_answer_is_not_emptied() -> None:
    tiny = model("qwen3")
    encoder = PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 64)
    turns = tuple(ChatMessage(role="assistant", content="So it is. " * 5) for _ in range(3))
    with pytest.raises(ContextError):
        encoder.encode(Request("one", messages=turns, trim=True, continues=True))


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([QUESTION], "the last message is none"),
        ([QUESTION, {"role": "assistant", "content": ""}], "to go on with is empty"),
        ([QUESTION, {"content": "no role"}], "role and content"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "leave out images",
        ),
    ],
)
def test_what_cannot_be_answered_fails_in_words(demo: LLM, messages: Any, words: str) -> None:
    engine = demo._running()
    continues = "image" not in words
    engine.add(Request("bad", messages=tuple(messages), continues=continues))
    [event] = engine.step()
    assert isinstance(event, Failed)
    assert words in event.message


@pytest.mark.parametrize(
    ("family", "thinks"),
    [
        ("qwen3", "asked"),
        ("gemma4", "asked"),
        ("gpt_oss", "always"),
        ("mistral", "always"),
        ("lfm2_5", "always"),
        ("llama3", "never"),
        ("mistral_list", "never"),
    ],
)
def test_templates_tell_whether_a_model_thinks(family: str, thinks: str) -> None:
    tiny = model(family)
    encoder = PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 64)
    assert encoder.thinks == thinks


def test_wishes_that_a_model_cannot_heed_are_remarked_on(demo: LLM) -> None:
    info = demo.info
    assert info.thinks == "never"
    assert "does not think" in info.remark_on_thinking(True)
    assert "always thinks" in replace(info, thinks="always").remark_on_thinking(False)
    assert info.remark_on_thinking(False) == ""
    assert replace(info, thinks="always").remark_on_thinking(None) == ""
    for wanted in (True, False):
        assert replace(info, thinks="asked").remark_on_thinking(wanted) == ""
