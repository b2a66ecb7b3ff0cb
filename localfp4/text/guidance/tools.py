"""The tools that an answer may call, checked as far as a grammar depends on it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localfp4.errors import RequestError
from localfp4.messages import Request
from localfp4.messages.constraint import LONGEST_CONSTRAINT
from localfp4.text.guidance.limits import check_schema, target

_LONGEST_TOGETHER = LONGEST_CONSTRAINT["json_schema"]
_NAME = re.compile(r"[\w.:/-]+")
_OPENS = {"additionalProperties", "patternProperties", "unevaluatedProperties"}
_COMBINES = {"allOf", "anyOf", "oneOf", "$ref", "if"}

_NAMED_PARTS = {"properties", "patternProperties", "$defs", "definitions"}
_PARTS = {"items", "prefixItems", "additionalProperties", "allOf", "anyOf", "oneOf"}
"""Where a schema holds others."""

_BOUNDING = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_BOUNDS = {"minimum": -1e15, "maximum": 1e15}


@dataclass(frozen=True, slots=True)
class Tool:
    """One of them.

    Attributes:
        name: What calls name it by.
        schema: Of its arguments, which are an object. Where nothing is said of arguments that it
            does not name, there are none.
        is_strict: Refuses a schema that cannot be enforced wholly.
    """

    name: str
    schema: Mapping[str, Any]
    is_strict: bool

    @property
    def properties(self) -> Mapping[str, Any]:
        """The arguments, by name, with those that are required and not described."""
        described = self._root.get("properties", {})
        return {**described, **{name: True for name in self.required if name not in described}}

    @property
    def required(self) -> list[str]:
        """The names of arguments that may not be left out."""
        return list(self._root.get("required", ()))

    def part(self, schema: Any) -> Any:
        """Return the schema of an argument so that it can stand by itself."""
        if not isinstance(schema, Mapping):
            return schema
        shared = {key: self.schema[key] for key in ("$defs", "definitions") if key in self.schema}
        return {**schema, **shared}

    @property
    def _root(self) -> Mapping[str, Any]:
        """What describes the arguments, where that is a reference what it leads to."""
        reference = self.schema.get("$ref")
        root = target(self.schema, reference) if isinstance(reference, str) else self.schema
        return root if isinstance(root, Mapping) else {}


def chosen_tools(request: Request) -> list[Tool]:
    """Return what an answer may call.

    Raises:
        RequestError: A tool is malformed, they are too large, or the one that has to be called is not there.
    """
    choice = request.tool_choice
    size = sum(len(json.dumps(tool)) for tool in request.tools)
    if size > _LONGEST_TOGETHER:
        raise RequestError(
            f"The tools have {size} characters together, and schemas of {_LONGEST_TOGETHER} at "
            "most are compiled; leave some out, or do not ask for strict calls."
        )
    tools = [_tool(tool, choice.strict) for tool in request.tools]
    if choice.mode == "required" and choice.name:
        tools = [tool for tool in tools if tool.name == choice.name]
        if not tools:
            raise RequestError(f"The tool {choice.name!r} has to be called, and is not there.")
    return tools


def narrowed(schema: Any, *, closes: bool = True) -> Any:
    """Leave out of a schema what no call is meant to have, though it may.

    Objects have nothing but what is described, where nothing is said of anything else, and
    numbers without bounds are such as a float holds: JSON itself allows for 1e999, which is no
    number to whoever reads the call.

    Args:
        schema: Of arguments, or of a part of them.
        closes: Whether an object may be closed: not where several schemas hold of it.
    """
    if not isinstance(schema, dict):
        return schema
    whole = dict(schema)
    is_alone = not whole.keys() & _COMBINES
    for key in _NAMED_PARTS & whole.keys():
        if isinstance(whole[key], dict):
            inner = is_alone and key == "properties"
            whole[key] = {n: narrowed(part, closes=inner) for n, part in whole[key].items()}
    for key in _PARTS & whole.keys():
        part = whole[key]
        if isinstance(part, list):
            whole[key] = [narrowed(each, closes=key == "prefixItems") for each in part]
        else:
            whole[key] = narrowed(part, closes=is_alone)
    if closes and is_alone and "properties" in whole and not whole.keys() & _OPENS:
        whole["additionalProperties"] = False
    types = whole.get("type")
    is_number = types == "number" or (isinstance(types, list) and "number" in types)
    return whole | _BOUNDS if is_number and not whole.keys() & _BOUNDING else whole


def _tool(tool: Mapping[str, Any], is_strict: bool) -> Tool:
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RequestError(
            f"A tool needs a name of letters, digits, '_', '-', '.', ':' and '/', not {name!r}."
        )
    whose = f"The schema of the tool {name}"
    schema = check_schema(function.get("parameters") or {}, whose)
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise RequestError(f"{whose} must describe an object.")
    is_described = isinstance(schema.get("properties", {}), dict) and isinstance(
        schema.get("required", []), list
    )
    if not is_described:
        raise RequestError(f"{whose} needs an object of properties, and a list of required ones.")
    return Tool(
        name,
        narrowed({"properties": {}, **schema, "type": "object"}),
        is_strict or function.get("strict") is True,
    )
