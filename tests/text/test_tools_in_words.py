"""Tools for templates that know none: nothing of them is lost, and other templates are left alone."""

import json
from typing import Any

from localfp4.text.conversation import Conversation
from localfp4.text.tools_in_words import tell_of_tools

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "2", "tool_call_id": "1"},
]


def told(messages: list[dict[str, Any]], tools: list[Any], template: str = PLAIN) -> Any:
    return Conversation(messages, tools).variables(template, frozenset(["messages"]))["messages"]


def test_they_are_offered_in_a_system_message() -> None:
    offer, question = told(TURNS[:1], [TOOL])
    assert offer["role"] == "system"
    assert json.dumps(TOOL["function"]) in offer["content"]
    assert question == TURNS[0]


def test_the_system_message_there_is_keeps_its_words() -> None:
    [offer, _] = told([{"role": "system", "content": "Be brief."}, TURNS[0]], [TOOL])
    assert offer["content"].startswith("Be brief.\n\n")


def test_calls_and_results_are_text() -> None:
    [question, call, result] = told(TURNS, [])
    assert question == TURNS[0]
    assert json.loads(call["content"]) == {"name": "add", "arguments": {"a": 1}}
    assert "tool_calls" not in call
    assert result == {"role": "user", "content": "add returned: 2"}


def test_a_result_without_its_call_is_kept() -> None:
    [result] = tell_of_tools([{"role": "tool", "content": "2"}], [])
    assert result["content"].endswith("2")


def test_templates_that_know_tools_are_left_alone() -> None:
    messages = told(TURNS, [TOOL], PLAIN + "{{ message.tool_calls }}")
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
