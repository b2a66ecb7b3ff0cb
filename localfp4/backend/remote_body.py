"""From a request to what a server that speaks OpenAI's API is sent.

What the user asks for is always sent, so that a server that cannot do it says so. What is only
useful to know is left out step by step where a server refuses it.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, Literal

from localfp4.config import SamplingParams
from localfp4.messages import ChatMessage, Constraint, Request, ToolChoice

Manner = Literal["open", "openai", "bare"]

MANNERS: tuple[Manner, ...] = ("open", "openai", "bare")
"""With the fields of open servers, with those of OpenAI's own API, or with nothing unasked for."""

_CALLED = {"max_tokens": "max_completion_tokens"}
"""What OpenAI calls otherwise; newer models refuse the old name."""

_DEFAULTS = SamplingParams()


def chat_body(
    request: Request, model: str, *, manner: Manner, always: Collection[str] = ()
) -> dict[str, Any]:
    """Return the body of ``/chat/completions`` for a request with a conversation.

    Args:
        request: What is asked.
        model: What the server calls the model.
        manner: How much the server is asked to tell.
        always: Fields of sampling that are sent though they have the values that they have by
            default here: servers have defaults of their own.
    """
    is_open = manner == "open"
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(one, is_open=is_open) for one in request.messages or ()],
        "stream": True,
        **_sampling(request.sampling, always, is_open=is_open),
        **_thinking(request),
    }
    if manner != "bare":
        body["stream_options"] = {"include_usage": True}
    if is_open:
        # vLLM and SGLang: how many tokens there are so far. llama.cpp: the same, under timings.
        body["stream_options"]["continuous_usage_stats"] = True
        body["timings_per_token"] = True
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
        body |= _tool_choice(request.tool_choice)
    if request.constraint is not None:
        body |= _form(request.constraint)
    if request.continues:
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def _message(message: ChatMessage, *, is_open: bool) -> dict[str, Any]:
    told: dict[str, Any] = dict(message)
    if not is_open:  # OpenAI's API has no place for it
        told.pop("reasoning_content", None)
    return told


def _sampling(
    sampling: SamplingParams, always: Collection[str], *, is_open: bool
) -> dict[str, Any]:
    """Return the fields that were chosen: what is not sent is as the server would have it."""
    told: dict[str, Any] = {}
    for name in (field.name for field in fields(SamplingParams)):
        value = getattr(sampling, name)
        if name != "logprobs" and (value != getattr(_DEFAULTS, name) or name in always):
            told[name if is_open else _CALLED.get(name, name)] = _plain(value)
    if sampling.logprobs is not None:
        told |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    return told


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    return value if isinstance(value, str | int | float | None) else list(value)  # type: ignore[call-overload]


def _thinking(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = dict(request.template_options)
    if request.thinking is not None:
        options["enable_thinking"] = request.thinking
    told: dict[str, Any] = {"chat_template_kwargs": options} if options else {}
    if request.reasoning_effort is not None:
        told["reasoning_effort"] = request.reasoning_effort
    return told


def _tool_choice(choice: ToolChoice) -> dict[str, Any]:
    told: dict[str, Any] = {} if choice.parallel else {"parallel_tool_calls": False}
    if choice.name:
        return {"tool_choice": {"type": "function", "function": {"name": choice.name}}, **told}
    return told if choice.mode == "auto" else {"tool_choice": choice.mode, **told}


def _form(constraint: Constraint) -> dict[str, Any]:
    """Return OpenAI's field for a form of JSON, and vLLM's for any other."""
    match constraint.kind:
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {"name": "answer", "strict": True, "schema": json.loads(constraint.text)}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "choice":
            return {"structured_outputs": {"choice": json.loads(constraint.text)}}
    return {"structured_outputs": {constraint.kind: constraint.text}}
