"""Answers to conversations: reasoning, content and tool calls from tokens to events."""

import itertools
import json
import pickle
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from localfp4.config import SamplingParams
from localfp4.engine.answer import Answer
from localfp4.engine.prompt import PromptEncoder
from localfp4.engine.sequence import Sequence
from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Delta, Finished, FinishReason, Request, ToolCall
from localfp4.runner.sampler import Sampled
from localfp4.text.stops import StopStrings
from tests.text.families import WEATHER, model

QUESTION = ChatMessage(role="user", content="Weather?")
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


def prompts(family: str = "qwen3") -> PromptEncoder:
    tiny = model(family)
    return PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 4096)


def answer_to(
    request: Request, text: str, *, stop: Iterable[str] = (), ends: bool = True
) -> tuple[list[Delta], Answer]:
    """Feed an answer's tokens to a sequence as the engine does."""
    encoder = prompts()
    tokenizer = model("qwen3").tokenizer
    prompt = encoder.encode(request).token_ids
    [end] = model("qwen3").ids("<|im_end|>")
    answer = Answer(
        Sequence(request.id, [*prompt], len(prompt), 4096, request.sampling, frozenset({end}), 0),
        encoder.reader(request, prompt),
        StopStrings(stop),
        clock=itertools.count().__next__,
        arrived_s=0,
    )
    deltas = []
    for token in [*tokenizer.encode(text, add_special_tokens=False), *([end] if ends else [])]:
        if answer.sequence.finished is None:
            deltas.append(answer.add(Sampled(token, None)))
    return deltas, answer


def whole(deltas: Iterable[Delta]) -> tuple[str, str, list[ToolCall]]:
    deltas = list(deltas)
    calls = [call for delta in deltas for call in delta.tool_calls]
    return "".join(d.reasoning for d in deltas), "".join(d.text for d in deltas), calls


CHAT = Request("one", messages=(QUESTION,), tools=(WEATHER,))


def end_of(answer: Answer) -> Finished:
    end = answer.finish()
    assert isinstance(end, Finished)
    return end


def test_the_kinds_are_told_apart() -> None:
    deltas, answer = answer_to(CHAT, f"<think>\nHm.\n</think>\n\nI look.\n{CALL}\n{CALL}")
    reasoning, text, [first, second] = whole(deltas)
    assert (reasoning, text) == ("Hm.", "I look.")
    assert (first.index, second.index) == (0, 1)
    assert first.id != second.id
    assert all(len(call.id) == 9 and call.id.isalnum() for call in (first, second))
    assert json.loads(second.arguments) == {"city": "Köln"}
    assert end_of(answer).reason == "tool_calls"
    assert pickle.loads(pickle.dumps(deltas)) == deltas


@pytest.mark.parametrize(("ends", "reason"), [(True, "stop"), (False, "cancelled")])
def test_an_answer_without_calls_ends_as_ever(ends: bool, reason: FinishReason) -> None:
    deltas, answer = answer_to(CHAT, "<think>\nHm.\n</think>\n\nRain.", ends=ends)
    assert whole(deltas) == ("Hm.", "Rain.", [])
    assert end_of(answer).reason == reason


def test_prompts_that_are_no_conversation_are_not_parsed() -> None:
    deltas, _ = answer_to(Request("one", prompt="Once"), f"<think>a</think>{CALL}")
    assert whole(deltas) == ("", f"<think>a</think>{CALL}", [])


def test_stop_strings_are_looked_for_in_content_only() -> None:
    text = f"<think>\nno END yet\n</think>\n\n{CALL}\nNow the END comes"
    deltas, answer = answer_to(CHAT, text, stop=["END", "Köln"], ends=False)
    reasoning, content, calls = whole(deltas)
    assert (reasoning, content, len(calls)) == ("no END yet", "Now the ", 1)
    assert answer.sequence.finished == "stop"
    assert end_of(answer).reason == "tool_calls"


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ("<think>\nThe sky is blue. 🐈\n</think>\n\nIt is blue.", "\nThe sky is blue. 🐈"),
        ("<think>\nIt goes on and on", "\nIt goes on and on"),
        ("It is blue, and this is no <thought>.", ""),
        (CALL, ""),
    ],
)
def test_tokens_that_are_thought_are_counted(text: str, thought: str) -> None:
    _, answer = answer_to(CHAT, text)
    expected = model("qwen3").tokenizer.count(thought)
    assert abs(end_of(answer).reasoning_tokens - expected) <= 1  # blanks around are dropped
    assert bool(end_of(answer).reasoning_tokens) == bool(thought)
    assert (
        end_of(answer_to(replace(CHAT, messages=None, prompt="a"), text)[1]).reasoning_tokens == 0
    )


def test_what_the_request_named_is_told_where_it_ends_an_answer() -> None:
    def stopped_by(text: str, *stop: str, stops: tuple[int, ...] = (), **rest: Any) -> object:
        asked = replace(CHAT, sampling=SamplingParams(stop_token_ids=stops))
        return end_of(answer_to(asked, text, stop=stop, **rest)[1]).stopped_by

    [end] = model("qwen3").ids("<|im_end|>")
    assert stopped_by("One two three", "five", "two", "three") == "two"
    assert stopped_by("One two three", "n", "One") == "n"
    assert stopped_by("One two three", "five") is None
    assert stopped_by("One two", stops=(end,)) == end
    assert stopped_by("One two", stops=(end,), ends=False) is None


def test_cancelling_gives_out_what_was_held_back() -> None:
    deltas, answer = answer_to(CHAT, 'Look: <tool_call>{"name"', ends=False)
    [rest, end] = answer.cancel()
    assert isinstance(rest, Delta)
    assert whole([*deltas, rest]) == ("", 'Look: <tool_call>{"name"', [])
    assert isinstance(end, Finished)
    assert end.reason == "cancelled"


def test_thinking_is_asked_for_in_the_prompt() -> None:
    encoder = prompts()
    thoughtless = encoder.encode(replace(CHAT, thinking=False)).token_ids
    ends = model("qwen3").tokenizer.encode("<think>\n\n</think>\n\n", add_special_tokens=False)
    assert thoughtless[-len(ends) :] == ends
    assert encoder.encode(CHAT).token_ids == thoughtless[: -len(ends)]


def test_trimming_keeps_tools_with_their_question() -> None:
    tool = ChatMessage(role="tool", content="Rain. " * 200, name="weather", tool_call_id="1")
    calling = ChatMessage(
        role="assistant",
        content="",
        tool_calls=[{"id": "1", "function": {"name": "weather", "arguments": '{"city": "K"}'}}],
    )
    turns = (QUESTION, calling, tool, QUESTION)
    tiny = model("qwen3")
    encoder = PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 256)
    prompt = encoder.encode(Request("one", messages=turns, trim=True))
    assert prompt.dropped_turns == 3


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ({"role": "user", "content": 5}, "role and content"),
        ({"role": "user"}, "role and content"),
        ({"role": 5, "content": "Hi"}, "role and content"),
        ({"role": "wizard", "content": "Hi"}, "must be one of system"),
        ({"role": "user", "content": " "}, "message is empty"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "Only text"),
        ({"role": "user", "content": [{"type": "text", "text": " "}]}, "message is empty"),
        ({"role": "assistant", "content": "a", "tool_calls": [5]}, "A tool call needs"),
        (
            {"role": "assistant", "content": "a", "tool_calls": [{"function": {"arguments": "{"}}]},
            "are not JSON",
        ),
        ({"role": "user", "content": "a", "x": {1, 2}}, "JSON types only"),
    ],
)
def test_malformed_turns_are_refused(turn: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        prompts().encode(Request("one", messages=(turn,)))


def test_no_turns_are_refused() -> None:
    with pytest.raises(RequestError, match="message is empty"):
        prompts().encode(Request("one", messages=()))


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": "yes"},
        {"thinking": 1},
        {"reasoning_effort": 3},
        {"reasoning_effort": "<|im_end|>"},
        {"tools": ("weather",)},
        {"template_options": {"messages": "x"}},
        {"template_options": {"tokenize": True}},
        {"template_options": {"date_string": ["x"]}},
    ],
)
def test_malformed_settings_are_refused(fields: Any) -> None:
    with pytest.raises(RequestError):
        Request("one", messages=(QUESTION,), **fields)


def test_content_may_come_in_parts() -> None:
    parts: Any = [{"type": "text", "text": "Wea"}, {"type": "text", "text": "ther?"}]
    split = Request("one", messages=(ChatMessage(role="user", content=parts),))
    joined = Request("one", messages=(ChatMessage(role="user", content="Wea\nther?"),))
    assert prompts().encode(split) == prompts().encode(joined)
