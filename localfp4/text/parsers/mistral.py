"""Tool calls of Mistral, in the two forms there have been.

``[TOOL_CALLS]f[ARGS]{…}``, in between perhaps ``[CALL_ID]id``, once per call; and, up to Small
3.1, ``[TOOL_CALLS][{"name": …, "arguments": {…}}, …]``.
"""

import re

from localfp4.text.parsers.parser import Call, Tools, calls_in, loads, make_call

CALLS, CALL_ID, ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
INSIDE = (CALL_ID, ARGUMENTS)

_NAMED = re.compile(r"\s*([^\[\]{}]+?)(?:\[CALL_ID\][^\[]*)?\[ARGS\](.*)", re.DOTALL)


def read_mistral(body: str, tools: Tools) -> list[Call] | None:
    """Read what stands after ``[TOOL_CALLS]``."""
    if (named := _NAMED.fullmatch(body)) is None:
        return calls_in(loads(body))
    call = make_call(named[1], loads(named[2]))
    return None if call is None else [call]
