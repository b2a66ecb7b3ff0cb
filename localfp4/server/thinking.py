"""Whether and how much an answer is thought about, in the words of several servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localfp4.messages import TEMPLATE_OPTIONS
from localfp4.server.errors import bad_request

_SWITCHES = ("enable_thinking", "thinking")
_EFFORT = "reasoning_effort"
_NEAREST = {"minimal": "low", "xhigh": "high"}
"""Chat templates know low, medium and high; OpenAI's API has one below and one above them."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a chat template is told of it.

    Attributes:
        wanted: Whether the model thinks first; ``None`` leaves it to the model.
        effort: How much; ``None`` leaves it to the model.
        options: What else the template is told.
    """

    wanted: bool | None = None
    effort: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def thinking(effort: str | None, template: Mapping[str, Any] | None = None) -> Thinking:
    """Read a wish to think.

    Args:
        effort: ``none`` keeps from thinking, as far as the model can be kept from it; any other
            asks for it.
        template: vLLM's ``chat_template_kwargs``, which decide where both say something.

    Raises:
        ApiError: The template cannot be told something of it.
    """
    told = dict(template or {})
    wanted = next((told[name] for name in _SWITCHES if name in told), None)
    effort = told.get(_EFFORT, _NEAREST.get(effort or "", effort))
    options = {k: v for k, v in told.items() if k not in (*_SWITCHES, _EFFORT)}
    for name in options:
        if name not in TEMPLATE_OPTIONS:
            known = ", ".join((*_SWITCHES, _EFFORT, *TEMPLATE_OPTIONS))
            raise bad_request(
                f"chat_template_kwargs may hold {known}, not {name[:40]!r}.", "chat_template_kwargs"
            )
    if effort == "none":
        return Thinking(False if wanted is None else wanted, None, options)
    if effort is not None and wanted is None:
        wanted = True
    return Thinking(wanted, effort, options)
