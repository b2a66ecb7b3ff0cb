"""Tool calls with tags for every argument: those of Qwen3-Coder, Seed and GLM.

Texts stand in them without quotes, all other values as JSON. Of what is said of the arguments as a
whole only which there are, and which are required, is enforced.
"""

from collections.abc import Mapping
from typing import Any

from localfp4.errors import RequestError
from localfp4.text.guidance.json_calls import several
from localfp4.text.guidance.rules import Rules, either, literal
from localfp4.text.guidance.texts import ANNOTATIONS, add_text, refuse_unknown
from localfp4.text.guidance.tools import Tool

_BREAK = "\n"
_OF_ARGUMENTS = ANNOTATIONS | {"type", "properties", "required", "additionalProperties", "$ref"}


def add_qwen_xml(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``<tool_call><function=f><parameter=p>…</parameter></function></tool_call>``."""
    function = either(_function(rules, tool, between="\n") for tool in tools)
    opens, closes = rules.token("<tool_call>"), rules.token("</tool_call>")
    call = rules.rule(f'{opens} "\\n"? {function} "\\n"? {closes}')
    return several(call, '"\\n"?', parallel=parallel)


def add_seed(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add the same in Seed's tags, with nothing around a value."""
    function = either(_function(rules, tool, between="") for tool in tools)
    opens, closes = rules.token("<seed:tool_call>"), rules.token("</seed:tool_call>")
    call = rules.rule(f'{opens} "\\n"? {function} "\\n"? {closes}')
    return several(call, '"\\n"?', parallel=parallel)


def add_glm(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``<tool_call>f<arg_key>p</arg_key><arg_value>…</arg_value></tool_call>``."""
    functions = either(
        f'{literal(tool.name)} "\\n"? {_glm_arguments(rules, tool)}' for tool in tools
    )
    call = rules.rule(f"{rules.token('<tool_call>')} {functions} {rules.token('</tool_call>')}")
    return several(call, '"\\n"?', parallel=parallel)


def _function(rules: Rules, tool: Tool, between: str) -> str:
    parts = [literal(f"<function={tool.name}>\n")]
    for name, schema in _arguments(tool, "<>\n"):
        parts += [_optional(_parameter(rules, tool, name, schema, between), tool, name)]
    return f"{' '.join(parts)} {literal('</function>')}"


def _parameter(rules: Rules, tool: Tool, name: str, schema: Any, between: str) -> str:
    head, tail = f"<parameter={name}>{between}", f"{between}</parameter>"
    if not _is_text(schema):
        value = rules.schema(tool.part(schema), lenient=not tool.is_strict)
        return f"{literal(head)} {value} {literal(tail + _BREAK)}"
    # One terminal, that the text ends where its end tag begins and cannot run on into it.
    text = add_text(
        rules,
        _text_schema(schema),
        ["</parameter>", "</function>"],
        is_strict=tool.is_strict,
        trimmed="" if between else "\n",
    )
    return f"{literal(head)} {rules.terminal(f'{text} {literal(tail)}')} {literal(_BREAK)}"


def _glm_arguments(rules: Rules, tool: Tool) -> str:
    key, key_ends = rules.token("<arg_key>"), rules.token("</arg_key>")
    value, value_ends = rules.token("<arg_value>"), rules.token("</arg_value>")
    parts = []
    for name, schema in _arguments(tool, "<>\n"):
        if _is_text(schema):
            body = add_text(rules, _text_schema(schema), ["</arg_value>"], is_strict=tool.is_strict)
        else:
            body = rules.schema(tool.part(schema), lenient=not tool.is_strict)
        part = f'{key} {literal(name)} {key_ends} "\\n"? {value} {body} {value_ends} "\\n"?'
        parts.append(_optional(part, tool, name))
    return " ".join(parts)


def _arguments(tool: Tool, forbidden: str) -> list[tuple[str, Any]]:
    """Return the arguments in order.

    Raises:
        RequestError: A name cannot be written, or more is said of them than can be enforced.
    """
    if tool.is_strict:
        refuse_unknown(tool.schema, _OF_ARGUMENTS, f"the arguments of {tool.name}")
    for name in tool.properties:
        if not name or name != name.strip() or any(char in name for char in forbidden):
            raise RequestError(
                f"The model cannot write the argument {name!r} of the tool {tool.name}; give it "
                "another name."
            )
    return list(tool.properties.items())


def _is_text(schema: Any) -> bool:
    """Say whether a value stands without quotes, as the parser takes it."""
    return not isinstance(schema, Mapping) or schema.get("type") == "string"


def _text_schema(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, Mapping) else {}


def _optional(part: str, tool: Tool, name: str) -> str:
    return part if name in tool.required else f"({part})?"
