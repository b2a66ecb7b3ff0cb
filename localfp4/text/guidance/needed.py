"""Whether an answer has to be held to a form at all; imports nothing of llguidance."""

from localfp4.messages import Request


def is_guided(request: Request) -> bool:
    """Say whether what a request asks for has to be enforced while tokens are chosen.

    A model that may call tools, and is neither made to nor held to their schemas, is free.
    """
    if request.constraint is not None:
        return True
    choice = request.tool_choice
    return choice.mode == "required" or (
        choice.mode == "auto" and choice.strict and has_tools(request)
    )


def has_tools(request: Request) -> bool:
    """Say whether the answer to a request may call tools."""
    return (
        request.messages is not None and bool(request.tools) and request.tool_choice.mode != "none"
    )
