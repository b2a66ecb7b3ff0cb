"""Tool calls whose arguments are JSON: those of Hermes, Mistral, Llama 3 and LFM2."""

import keyword

from localfp4.errors import RequestError
from localfp4.text.guidance.rules import Rules, either, in_order, literal, repeated
from localfp4.text.guidance.tools import Tool
from localfp4.text.parsers.llama3 import PYTHON_TAG
from localfp4.text.parsers.mistral import ARGUMENTS, CALL_ID, CALLS


def add_hermes(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``, once or several times."""
    entry = either(_object(rules, tool, "arguments") for tool in tools)
    call = f'{rules.token("<tool_call>")} "\\n"? {entry} "\\n"? {rules.token("</tool_call>")}'
    return several(rules.rule(call), '"\\n"?', parallel=parallel)


def add_mistral(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``[TOOL_CALLS]f[ARGS]{…}``, in between perhaps ``[CALL_ID]id``."""
    call_id = ""
    if rules.has(CALL_ID):
        call_id = f"({rules.token(CALL_ID)} {rules.terminal('/[a-zA-Z0-9]{9}/')})?"
    calls = (
        f"{literal(tool.name)} {call_id} {rules.token(ARGUMENTS)} {_arguments(rules, tool)}"
        for tool in tools
    )
    call = rules.rule(f"{rules.token(CALLS)} {either(calls)}")
    return several(call, '""', parallel=parallel)


def add_mistral_list(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``[TOOL_CALLS][{"name": …, "arguments": {…}}, …]``."""
    entry = rules.rule(either(_object(rules, tool, "arguments") for tool in tools))
    entries = several(entry, '", "', parallel=parallel)
    return f'{rules.token(CALLS)} " "? "[" {entries} "]"'


def add_llama3(rules: Rules, tools: list[Tool], *, parallel: bool, is_marked: bool) -> str:
    """Add ``{"name": …, "parameters": {…}}``, several with semicolons between.

    Args:
        rules: Where rules go.
        tools: What may be called.
        parallel: Whether there may be several.
        is_marked: ``<|python_tag|>`` has to stand before, as other content may look alike.
    """
    entry = rules.rule(either(_object(rules, tool, "parameters") for tool in tools))
    mark = rules.token(PYTHON_TAG) + ("" if is_marked else "?")
    return f"{mark} {several(entry, literal('; '), parallel=parallel)}"


def add_plain_json(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``{"name": …, "arguments": {…}}``, each on a line of its own."""
    entry = rules.rule(either(_object(rules, tool, "arguments") for tool in tools))
    return several(entry, literal("\n"), parallel=parallel)


def add_lfm2(rules: Rules, tools: list[Tool], *, parallel: bool) -> str:
    """Add ``<|tool_call_start|>[f(a="x"), …]<|tool_call_end|>``, which is Python.

    Raises:
        RequestError: A name is none in Python.
    """
    call = rules.rule(either(_python_call(rules, tool) for tool in tools))
    opens, closes = rules.token("<|tool_call_start|>"), rules.token("<|tool_call_end|>")
    return f'{opens} "[" {several(call, literal(", "), parallel=parallel)} "]" {closes}'


def several(call: str, between: str, *, parallel: bool) -> str:
    """Return what matches one call, or several."""
    return repeated(call, between, most=None if parallel else 1)


def _object(rules: Rules, tool: Tool, key: str) -> str:
    head = f'{{"name": {literal(tool.name)}, "{key}": '
    return f'{literal(head)} {_arguments(rules, tool)} "}}"'


def _arguments(rules: Rules, tool: Tool) -> str:
    return rules.schema(tool.schema, lenient=not tool.is_strict)


def _python_call(rules: Rules, tool: Tool) -> str:
    for name in [*tool.name.split("."), *tool.properties]:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise RequestError(
                f"The model writes tool calls in Python, where {name!r} of the tool {tool.name} "
                "is no name; choose another one."
            )
    arguments = (
        (
            f"{literal(f'{name}=')} "
            f"{rules.schema(tool.part(part), lenient=not tool.is_strict, python=True)}",
            name in tool.required,
        )
        for name, part in tool.properties.items()
    )
    return f'{literal(f"{tool.name}(")} {in_order(rules, arguments, literal(", "))} ")"'
