"""A conversation as front ends give it, made into what chat templates expect.

Templates disagree in small things, and here is where they are given all of them: reasoning under
both of its names, the arguments of tool calls as objects, content as one text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from localfp4.errors import RequestError
from localfp4.text.tokenizer import without_surrogates
from localfp4.text.tools_in_words import knows_tools, tell_of_tools

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Templates write a role out between control tokens, so it cannot be any text."""

Part = Literal["content", "thinking"]
"""What of an answer is being written."""

_KNOWS_TOOL_TURNS = re.compile(r"""[=!]=\s*['"]tool['"]""")
_JOINS_ARGUMENTS = re.compile(r"""arguments(['"]\])?\s*[+~]""")
_THINK, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a template renders, of JSON types only.

    Attributes:
        messages: The turns, as OpenAI's API has them. Reasoning of earlier answers may be given
            as ``reasoning_content``, ``reasoning`` or ``thinking``.
        tools: JSON schemas of tools.
        thinking: Whether the model is to reason first; ``None`` leaves it to the template.
        reasoning_effort: How much, such as ``low``; ``None`` leaves it to the template.
        options: What a template knows besides, by the template's names.
        continues: The last message is an answer that is to be gone on with.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    thinking: bool | None = None
    reasoning_effort: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    continues: bool = False

    @property
    def breaks_off_in(self) -> Part | None:
        """What the answer that is gone on with had come to; ``None`` where a new one is asked for."""
        if not self.continues:
            return None
        return "content" if _answered(self.messages[-1])["content"] else "thinking"

    @property
    def thought(self) -> str:
        """What the last message thought; empty where it is no answer that did."""
        return str(_answered(self.messages[-1]).get("thinking", ""))

    def check(self) -> None:
        """Refuse what is no conversation; front ends pass on what their users wrote.

        Raises:
            RequestError: A message lacks its role or its content, or there is nothing to answer.
        """
        for message in self.messages:
            has_content = isinstance(message.get("content"), str | list) or "tool_calls" in message
            if not isinstance(message.get("role"), str) or not has_content:
                raise RequestError(
                    "Each message of a conversation needs the texts role and content."
                )
        last = self.messages[-1] if self.messages else {"role": "user"}
        if self.continues:
            _check_answer(last)
        elif last["role"] != "tool" and not str(_text(last.get("content"))).strip():
            raise RequestError("The message is empty; write something to answer.")

    def variables(self, template: str, known: frozenset[str]) -> dict[str, Any]:
        """Return what a template is rendered with.

        Args:
            template: Its source.
            known: The variables it reads.

        Raises:
            RequestError: A turn is malformed, or there is something in it that is no JSON.
        """
        messages = [_normal(message, template) for message in self.messages]
        if "tool_responses" in template and not _KNOWS_TOOL_TURNS.search(template):
            messages = _with_tool_responses(messages)
        if not knows_tools(template, known):
            messages = tell_of_tools(messages, self.tools)
        variables = {
            "messages": messages,
            "tools": list(self.tools) or None,
            "documents": None,
            "add_generation_prompt": True,
            **self._thinking(known),
            **self.options,
        }
        try:
            return {name: plain(value) for name, value in variables.items()}
        except RecursionError as error:
            raise RequestError("The conversation is nested too deeply.") from error

    def _thinking(self, known: frozenset[str]) -> dict[str, Any]:
        """Spell the wish to think as every family does.

        gpt-oss cannot be kept from thinking, only told to be brief.
        """
        chosen: dict[str, Any] = {}
        if self.thinking is not None:
            chosen |= {"enable_thinking": self.thinking, "thinking": self.thinking}
            if not self.thinking and not known & chosen.keys():
                chosen["reasoning_effort"] = "low"
        if self.reasoning_effort is not None:
            chosen["reasoning_effort"] = self.reasoning_effort
        return chosen


def _check_answer(message: Mapping[str, Any]) -> None:
    """Refuse to go on with what is no answer that breaks off."""
    if message["role"] != "assistant":
        raise RequestError("There is no answer to go on with: the last message is none.")
    if message.get("tool_calls"):
        raise RequestError(
            "An answer that calls tools cannot be gone on with; give it what the tools returned."
        )
    if not any(isinstance(text, str) and text.strip() for text in _answered(message).values()):
        raise RequestError("The answer to go on with is empty; ask for another one.")


def _answered(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of an answer and, if there is any, what was thought before it."""
    content = {"content": _text(message.get("content"))}
    return content | _split_reasoning({**message, **content})


def plain(value: Any) -> Any:
    """Copy ``value`` out of JSON types; anything else could hand the template a method to call.

    Raises:
        RequestError: There is something else in it.
    """
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return without_surrogates(str.__str__(value))
        case Mapping():
            return {plain(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    raise RequestError(
        f"A conversation is made of JSON types only, not of {type(value).__name__}: "
        "pass text, numbers, lists and dicts."
    )


def _normal(message: Mapping[str, Any], template: str) -> dict[str, Any]:
    normal = dict(message)
    if normal.get("role") not in ROLES:
        raise RequestError(f"The role of a message must be one of {', '.join(ROLES)}.")
    if normal["role"] == "developer" and "developer" not in template:
        normal["role"] = "system"
    normal["content"] = _text(normal.get("content"))
    if normal["role"] == "assistant":
        normal |= _split_reasoning(normal)
    if normal.get("tool_calls"):
        as_text = _JOINS_ARGUMENTS.search(template) is not None
        normal["tool_calls"] = [_with_arguments(call, as_text) for call in normal["tool_calls"]]
    return normal


def _text(content: Any) -> Any:
    """Join content given in parts; turns that only call tools have none."""
    if content is None:
        return ""
    if not isinstance(content, list | tuple):
        return content
    if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        raise RequestError("Only text can be part of a message; leave out images and files.")
    return "\n".join(str(part.get("text", "")) for part in content)


def _split_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """Give reasoning under both names: gpt-oss reads ``thinking``, the others the longer one.

    Some front ends keep it in the text of an answer. Qwen3's template looks for it there, but is
    not shown markup in texts, lest it be taken for the template's own.
    """
    for name in ("reasoning_content", "thinking", "reasoning"):
        if message.get(name) is not None:
            return {"thinking": message[name], "reasoning_content": message[name]}
    content = message["content"]
    if isinstance(content, str) and content.lstrip().startswith(_THINK) and _THOUGHT in content:
        reasoning, _, answer = content.lstrip().removeprefix(_THINK).partition(_THOUGHT)
        reasoning = reasoning.strip("\n")
        return {
            "thinking": reasoning,
            "reasoning_content": reasoning,
            "content": answer.lstrip("\n"),
        }
    return {}


def _with_arguments(call: Any, as_text: bool) -> Any:
    """Give arguments as an object, which templates write out as their model knows them.

    Few, DeepSeek's among them, join them to other text and so want text.
    """
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
        raise RequestError("A tool call needs a function with a name and arguments.")
    function = dict(call["function"])
    arguments = function.get("arguments") or {}
    try:
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        function["arguments"] = json.dumps(arguments, ensure_ascii=False) if as_text else arguments
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(
            f"The arguments of the tool call {function.get('name')!r} are not JSON."
        ) from error
    return {**call, "function": function}


def _with_tool_responses(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the results of tools into the turn that called them, as Gemma 4's first template has it."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] != "tool" or not turns or not turns[-1].get("tool_calls"):
            turns.append(message)
            continue
        caller = turns[-1]
        names = {call.get("id"): call["function"].get("name") for call in caller["tool_calls"]}
        name = message.get("name") or names.get(message.get("tool_call_id"), "unknown")
        response = {"name": name, "response": message["content"]}
        caller["tool_responses"] = [*caller.get("tool_responses", ()), response]
    return turns
