"""From Anthropic's tools to OpenAI's, which chat templates know."""

from localfp4.server.anthropic.schema import Choice, Prompt, Tool
from localfp4.server.errors import bad_request
from localfp4.server.hosted import leave_out
from localfp4.server.settings import Limits
from localfp4.server.tools import Function, Offer, offer

_ANY = Choice(type="auto")
_MODES = {"auto": "auto", "none": "none", "any": "required", "tool": "required"}


def offered(prompt: Prompt, limits: Limits) -> Offer:
    """Return what the model may call.

    Tools that run at Anthropic, and those whose schema only its models know, have none: they are
    left out.

    Raises:
        ApiError: There is no other tool, there are too many, or one is to be called that is not
            there.
    """
    choice = prompt.tool_choice or _ANY
    name = (choice.name or "") if choice.type == "tool" else ""
    if choice.type == "tool" and not name:
        raise bad_request("tool_choice names no tool.", "tool_choice.name")
    given = prompt.tools or ()
    functions = [_function(tool) for tool in given if tool.input_schema is not None]
    unknown = {tool.name: tool.type or tool.name for tool in given if tool.input_schema is None}
    leave_out(unknown.values(), functions, unknown.get(name))
    return offer(
        functions,
        limits,
        mode=_MODES[choice.type],
        name=name,
        parallel=not choice.disable_parallel_tool_use,
    )


def _function(tool: Tool) -> Function:
    return Function(
        name=tool.name,
        description=tool.description,
        parameters=tool.input_schema,
        strict=tool.strict,
    )
