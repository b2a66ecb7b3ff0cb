"""Tools for models whose chat template knows none: told in the system message, and answered in text.

What such a model writes back is read by :mod:`localfp4.text.parsers.plain_json`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_OFFER = """\
You can call these functions, one JSON schema a line:
{schemas}
To call a function, answer with nothing but a JSON object: {{"name": "its name", "arguments": {{...}}}}. \
To call several, write one object a line. If no function helps, answer in plain words."""


def knows_tools(template: str, known: frozenset[str]) -> bool:
    """Say whether a template has words of its own for tools.

    Args:
        template: Its source.
        known: The variables it reads.
    """
    return "tools" in known or "tool_calls" in template


def tell_of_tools(
    messages: Sequence[dict[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Write tools, calls of them and what they returned as text.

    Args:
        messages: A conversation, the arguments of calls as objects.
        tools: JSON schemas of what may be called.
    """
    told = [_in_words(message, messages) for message in messages]
    if not tools:
        return told
    schemas = "\n".join(json.dumps(_function(tool), ensure_ascii=False) for tool in tools)
    offer = _OFFER.format(schemas=schemas)
    if told and told[0]["role"] in ("system", "developer"):
        first = {**told[0], "content": f"{told[0]['content']}\n\n{offer}"}
        return [first, *told[1:]]
    return [{"role": "system", "content": offer}, *told]


def _in_words(message: dict[str, Any], conversation: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if message["role"] == "tool":
        name = message.get("name") or _name_of(message.get("tool_call_id"), conversation)
        return {"role": "user", "content": f"{name} returned: {message['content']}"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    written = [json.dumps(_call(call), ensure_ascii=False) for call in calls]
    content = "\n".join([*filter(None, [message["content"]]), *written])
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**rest, "content": content}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"name": function.get("name"), "arguments": function.get("arguments")}


def _function(tool: Mapping[str, Any]) -> Any:
    return tool.get("function", tool)


def _name_of(call_id: Any, conversation: Sequence[Mapping[str, Any]]) -> str:
    """Return which function an earlier call was of."""
    for message in conversation:
        for call in message.get("tool_calls") or ():
            if call.get("id") == call_id:
                return str(call["function"].get("name"))
    return "The function"
