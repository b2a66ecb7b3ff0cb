"""The tools that an answer may call, and whether it is to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from localfp4.messages import FREE_CHOICE, ToolChoice
from localfp4.server.errors import bad_request
from localfp4.server.fields import Fields, Many
from localfp4.server.settings import Limits


class Function(Fields):
    """A function on offer; without parameters it takes none."""

    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Fields):
    """A tool on offer."""

    type: str = Field(description="function")
    function: Function | None = None


class ToolFields(Fields):
    """What of a request is about tools, in the words of OpenAI's chat completions."""

    tools: Many[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = Field(
        None, description="auto, none, required, or an object that names a function."
    )
    parallel_tool_calls: bool | None = None

    def offer(self, limits: Limits) -> "Offer":
        """Return what may be called, and what must.

        Raises:
            ApiError: There are too many tools, one is no function, or one is chosen that is not
                there.
        """
        functions = [_function(tool) for tool in self.tools or ()]
        parallel = self.parallel_tool_calls is not False
        choice = self.tool_choice
        if not isinstance(choice, dict):
            return offer(functions, limits, mode=choice or "auto", parallel=parallel)
        match choice:
            case {"type": "function", "function": {"name": str(name)}}:
                return offer(functions, limits, mode="required", name=name, parallel=parallel)
            case {
                "type": "allowed_tools",
                "allowed_tools": {"mode": str(mode), "tools": list(allowed)},
            }:
                names = {_named(tool) for tool in allowed}
                kept = [function for function in functions if function.name in names]
                return offer(kept, limits, mode=mode, parallel=parallel)
        raise bad_request(
            'tool_choice is auto, none, required or {"type": "function", "function": {"name": …}}.',
            "tool_choice",
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """Tools as chat templates know them, and the choice among them."""

    tools: tuple[Mapping[str, Any], ...] = ()
    choice: ToolChoice = FREE_CHOICE


def offer(
    functions: Sequence[Function],
    limits: Limits,
    *,
    mode: str = "auto",
    name: str = "",
    parallel: bool = True,
) -> Offer:
    """Return an offer of functions.

    Args:
        functions: On offer; where one of them is strict, all are held to their schemas.
        limits: Of a request.
        mode: ``auto``, ``none`` or ``required``.
        name: The only one that may be called, with ``required``.
        parallel: Whether several may be called.

    Raises:
        ApiError: There are too many, or what must be called is not there.
    """
    if len(functions) > limits.tools:
        raise bad_request(f"At most {limits.tools} tools are taken, not {len(functions)}.", "tools")
    if name and name not in {function.name for function in functions}:
        raise bad_request(f"tool_choice names {name[:100]!r}, which is no tool.", "tool_choice")
    if mode == "required" and not functions:
        raise bad_request("tool_choice asks for a call, and there are no tools.", "tool_choice")
    tools = tuple(_shown(function) for function in functions)
    strict = any(function.strict for function in functions)
    match mode:
        case "auto" | "none" | "required":
            return Offer(tools, ToolChoice(mode, name, parallel, strict))
    raise bad_request(f"tool_choice is auto, none or required, not {mode[:40]!r}.", "tool_choice")


def _function(tool: Tool) -> Function:
    if tool.type != "function":
        raise bad_request(
            f"Tools are functions; {tool.type[:40]!r} is a kind that cannot be offered.", "tools"
        )
    if tool.function is None:
        raise bad_request("A tool has no function in it.", "tools")
    return tool.function


def _shown(function: Function) -> dict[str, Any]:
    """Write a function in the order that templates were trained with."""
    described = {} if function.description is None else {"description": function.description}
    parameters = function.parameters or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": function.name, **described, "parameters": parameters},
    }


def _named(tool: Any) -> str | None:
    match tool:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    return None
