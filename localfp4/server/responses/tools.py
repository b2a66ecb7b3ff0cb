"""From the tools of responses to those of chat completions, which chat templates know."""

from typing import Any

from localfp4.server.errors import bad_request
from localfp4.server.hosted import leave_out
from localfp4.server.responses.schema import Prompt, Tool
from localfp4.server.settings import Limits
from localfp4.server.tools import Function, Offer, offer

_LONGEST_NAME = 256


def offered(prompt: Prompt, limits: Limits) -> Offer:
    """Return what the model may call; what is no function is left out.

    Raises:
        ApiError: There is no function among the tools, there are too many, or one is to be called
            that is not there.
    """
    mode, name, allowed = _choice(prompt.tool_choice)
    functions = [_function(tool) for tool in prompt.tools or () if tool.type == "function"]
    others = {tool.type for tool in prompt.tools or () if tool.type != "function"}
    leave_out(others, functions, mode if mode in others else None)
    if allowed is not None:
        functions = [function for function in functions if function.name in allowed]
    parallel = prompt.parallel_tool_calls
    return offer(functions, limits, mode=mode, name=name, parallel=parallel)


def _choice(choice: str | dict[str, Any]) -> tuple[str, str, frozenset[str] | None]:
    """Return the mode, the only function that may be called, and all that may be."""
    match choice:
        case str():
            return choice, "", None
        case {"type": "function", "name": str(name)}:
            return "required", name, None
        case {"type": "allowed_tools", "mode": str(mode), "tools": list(tools)}:
            return mode, "", frozenset(map(_name, tools))
        case {"type": str(kind)}:
            return kind, "", None
    raise bad_request("tool_choice names no tool by its type.", "tool_choice")


def _name(tool: Any) -> str:
    match tool:
        case {"name": str(name)}:
            return name
    return ""


def _function(tool: Tool) -> Function:
    if not tool.name or len(tool.name) > _LONGEST_NAME:
        raise bad_request("A function among the tools has no name, or too long a one.", "tools")
    return Function(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
    )
