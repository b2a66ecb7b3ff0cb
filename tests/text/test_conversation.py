"""What templates are given, whatever way front ends say it."""

import json
from typing import Any

import pytest

from localfp4.errors import RequestError
from localfp4.text.conversation import Conversation
from tests.text.families import called

ASK = {"role": "user", "content": "Weather?"}
CALLING = {"role": "assistant", "content": None, "tool_calls": [called("weather", {"city": "K"})]}
RESULT = {"role": "tool", "content": "Rain.", "tool_call_id": "123456789"}


def variables(
    messages: list[Any], template: str = "", names: frozenset[str] = frozenset(), **fields: Any
) -> dict[str, Any]:
    return Conversation(messages, **fields).variables(template, names)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "thinking"])
def test_reasoning_goes_by_every_name(name: str) -> None:
    turn = {"role": "assistant", "content": "4", name: "two and two"}
    [given] = variables([turn])["messages"]
    assert given["thinking"] == given["reasoning_content"] == "two and two"
    assert given["content"] == "4"


@pytest.mark.parametrize(
    ("content", "reasoning", "answer"),
    [
        ("\n<think>\na\n\nb\n</think>\n\n4", "a\n\nb", "4"),
        ("<think></think>4</think>", "", "4</think>"),
        ("<think>never closed", None, "<think>never closed"),
        ("What is <think>a</think>?", None, "What is <think>a</think>?"),
    ],
)
def test_reasoning_is_taken_out_of_an_answers_text(
    content: str, reasoning: str | None, answer: str
) -> None:
    [given] = variables([{"role": "assistant", "content": content}])["messages"]
    assert given.get("reasoning_content") == reasoning
    assert given["content"] == answer
    [asked] = variables([{"role": "user", "content": content}])["messages"]
    assert asked == {"role": "user", "content": content}


@pytest.mark.parametrize("arguments", [{"city": "K"}, '{"city": "K"}'])
@pytest.mark.parametrize(
    ("template", "given"),
    [
        ("tool_calls: {{ call.function.arguments | tojson + 'x' }}", {"city": "K"}),
        ("tool_calls: {{ call['function']['arguments'] }}", {"city": "K"}),
        ("tool_calls: {{ call['function']['arguments'] + '\\n' }}", '{"city": "K"}'),
        ("tool_calls: {{ call.arguments ~ '\\n' }}", '{"city": "K"}'),
    ],
)
def test_arguments_are_objects_unless_a_template_joins_them(
    arguments: Any, template: str, given: Any
) -> None:
    call = called("weather", arguments)
    [turn] = variables([{**CALLING, "tool_calls": [call]}], template)["messages"]
    assert turn["tool_calls"][0]["function"] == {"name": "weather", "arguments": given}
    assert turn["content"] == ""
    assert call == called("weather", arguments)


def test_results_of_tools_join_the_call_where_the_template_looks_for_them_there() -> None:
    template = "{{ message['tool_responses'] }}"
    turns = [ASK, CALLING, RESULT, {**RESULT, "name": "other", "content": "Sun."}, ASK]
    [_, caller, last] = variables(turns, template)["messages"]
    assert caller["tool_responses"] == [
        {"name": "weather", "response": "Rain."},
        {"name": "other", "response": "Sun."},
    ]
    assert last == ASK
    knows_both = template + "{% if message.role == 'tool' %}"
    assert len(variables(turns, knows_both)["messages"]) == 5
    assert len(variables([RESULT, ASK], template)["messages"]) == 2


def test_developers_are_the_system_where_templates_know_none() -> None:
    turn = {"role": "developer", "content": "Be brief."}
    assert variables([turn])["messages"] == [{"role": "system", "content": "Be brief."}]
    assert variables([turn], "role == 'developer'")["messages"] == [turn]


@pytest.mark.parametrize(
    ("fields", "names", "expected"),
    [
        ({}, {"enable_thinking"}, {}),
        ({"thinking": True}, {"enable_thinking"}, {"enable_thinking": True, "thinking": True}),
        ({"thinking": False}, {"thinking"}, {"enable_thinking": False, "thinking": False}),
        (
            {"thinking": False},
            {"reasoning_effort"},
            {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"},
        ),
        ({"reasoning_effort": "high"}, set(), {"reasoning_effort": "high"}),
        ({"options": {"date_string": "today"}}, set(), {"date_string": "today"}),
    ],
)
def test_the_wish_to_think_is_spelled_in_every_way(
    fields: Any, names: set[str], expected: dict[str, Any]
) -> None:
    given = variables([ASK], names=frozenset(names), **fields)
    always = {"messages", "tools", "documents", "add_generation_prompt"}
    assert {name: given[name] for name in given.keys() - always} == expected


def test_surrogates_become_characters() -> None:
    [turn] = variables([{"role": "user", "content": "\ud83d\ude00 \ud800"}])["messages"]
    assert json.dumps(turn["content"], ensure_ascii=False) == '"😀 \ufffd"'


def test_deep_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RequestError, match="nested too deeply"):
        variables([{**ASK, "extra": deep}])
