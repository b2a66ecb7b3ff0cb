"""From a request for a response to one of the engine."""

from dataclasses import replace

from localfp4.config import SamplingParams
from localfp4.messages import Constraint, Request
from localfp4.server.constraints import of_schema
from localfp4.server.errors import bad_request
from localfp4.server.responses.conversation import conversation
from localfp4.server.responses.schema import Prompt, ResponseRequest
from localfp4.server.responses.tools import offered
from localfp4.server.settings import Limits
from localfp4.server.thinking import thinking

_WITH_LOGPROBS = "message.output_text.logprobs"


def response_request(
    body: ResponseRequest, request_id: str, recommended: SamplingParams, limits: Limits
) -> Request:
    """Return what the engine is asked for a response.

    Args:
        body: What was asked.
        request_id: Names the request, and the response.
        recommended: The model's own settings.
        limits: Of a request.

    Raises:
        ApiError: There is an image in it, more of something than is allowed, a setting out of its
            range, or a tool that is not there.
        RequestError: The schema of the answer is too long.
    """
    logprobs = body.top_logprobs
    if logprobs is None and _WITH_LOGPROBS in (body.include or ()):
        logprobs = 0
    sampling = body.sampling(
        recommended, limits, max_tokens=body.max_output_tokens, logprobs=logprobs
    )
    request = prompt_request(body, request_id, limits)
    return replace(
        request, sampling=sampling, constraint=_constraint(body), background=body.can_wait()
    )


def prompt_request(body: Prompt, request_id: str, limits: Limits) -> Request:
    """Return the prompt alone, as it is counted.

    Raises:
        ApiError: There is an image in it, more of something than is allowed, or a tool that is not
            there.
    """
    if len(body.input) > limits.messages:
        raise bad_request(
            f"At most {limits.messages} items are taken, not {len(body.input)}.", "input"
        )
    offer = offered(body, limits)
    wish = thinking(body.reasoning.effort if body.reasoning else None)
    return Request(
        request_id,
        messages=conversation(body),
        trim=body.truncation == "auto",
        tools=offer.tools,
        tool_choice=offer.choice,
        thinking=wish.wanted,
        reasoning_effort=wish.effort,
    )


def _constraint(body: Prompt) -> Constraint | None:
    form = body.text.format if body.text else None
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return Constraint("json_object")
    if form.schema_ is None:
        raise bad_request("text.format has no schema.", "text.format.schema")
    return of_schema(form.schema_)
