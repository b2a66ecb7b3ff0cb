"""From a request for a message to one of the engine."""

from dataclasses import replace
from typing import Any

from localfp4.config import SamplingParams
from localfp4.messages import ChatMessage, Constraint, Request
from localfp4.server.anthropic.conversation import conversation
from localfp4.server.anthropic.errors import NO_THREADS
from localfp4.server.anthropic.schema import MessageRequest, Prompt
from localfp4.server.anthropic.tools import offered
from localfp4.server.constraints import of_schema
from localfp4.server.errors import bad_request
from localfp4.server.sampling import checked_sampling
from localfp4.server.settings import Limits

_EFFORTS = {"xhigh": "high", "max": "high"}
"""Beyond what open models know."""


def message_request(
    body: MessageRequest, request_id: str, recommended: SamplingParams, limits: Limits
) -> Request:
    """Return what the engine is asked for a message.

    Args:
        body: What was asked.
        request_id: Names the request, and the message.
        recommended: The model's own settings.
        limits: Of a request.

    Raises:
        ApiError: There is an image in it, more of something than is allowed, a setting out of its
            range, or a tool that is not there.
        RequestError: The schema of the answer is too long.
    """
    stops = body.stop_sequences or []
    _check_at_most("stop_sequences", len(stops), limits.stops)
    given = {
        "max_tokens": body.max_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": stops,
    }
    return replace(
        _prompt_request(body, request_id, limits),
        sampling=checked_sampling(recommended, given),
        constraint=_constraint(body),
    )


def counted_request(body: Prompt, request_id: str, limits: Limits) -> Request:
    """Return a prompt that is counted; calls that wait for their results are no reason not to.

    Raises:
        ApiError: As those of :func:`message_request`.
    """
    request = _prompt_request(body, request_id, limits)
    messages = request.messages or ()
    if not messages or not messages[-1].get("tool_calls"):
        return request
    nothing: ChatMessage = {"role": "tool", "content": ""}
    return replace(request, messages=(*messages, nothing), continues=False)


def _prompt_request(body: Prompt, request_id: str, limits: Limits) -> Request:
    if body.thread is not None:
        raise bad_request(
            "thread: nothing is kept between requests; send the whole conversation.",
            "thread",
            NO_THREADS,
        )
    _check_at_most("messages", len(body.messages), limits.messages)
    messages = conversation(body)
    offer = offered(body, limits)
    return Request(
        request_id,
        messages=messages,
        tools=offer.tools,
        tool_choice=offer.choice,
        continues=bool(messages) and messages[-1]["role"] == "assistant",
        **_thinking(body),
    )


def _thinking(body: Prompt) -> dict[str, Any]:
    """Return whether the model thinks.

    Where it is not asked to it does not: many a client takes the first block for the answer.
    """
    effort = body.output_config.effort if body.output_config else None
    effort = _EFFORTS.get(effort or "", effort)
    if body.thinking is None or body.thinking.type == "disabled":
        return {"thinking": False}
    if body.thinking.type == "adaptive":
        return {"reasoning_effort": effort}
    budget = body.thinking.budget_tokens
    options = {} if budget is None else {"thinking_budget": budget}
    return {"thinking": True, "reasoning_effort": effort, "template_options": options}


def _constraint(body: MessageRequest) -> Constraint | None:
    form = (body.output_config and body.output_config.format) or body.output_format
    return of_schema(form.schema_) if form else None


def _check_at_most(name: str, number: int, most: int) -> None:
    if number > most:
        raise bad_request(f"{name} may have {most} entries, not {number}.", name)
