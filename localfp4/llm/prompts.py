"""What callers of the Python API ask, checked and made into requests."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeGuard

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Constraint, Request, ToolChoice

Prompt = str | Mapping[str, Sequence[int]]
"""Text, or ``{"prompt_token_ids": [...]}``."""

Conversation = Sequence[ChatMessage]


class ChatSettings(TypedDict, total=False):
    """What a conversation may come with.

    Attributes:
        tools: JSON schemas of what the answer may call, as OpenAI's API has them.
        thinking: Whether the model reasons first; by default as the model is made.
        reasoning_effort: How much it reasons, such as ``low``, for models that can be told.
        template_options: Other variables of the model's chat template.
        continues: Whether the last message is the beginning of an answer, to be gone on with.
        constraint: The form of what the answer says, such as JSON of a schema.
        tool_choice: Whether the answer calls tools.
    """

    tools: Sequence[Mapping[str, Any]]
    thinking: bool | None
    reasoning_effort: str | None
    template_options: Mapping[str, bool | int | str]
    continues: bool
    constraint: Constraint | None
    tool_choice: ToolChoice


def make_request(
    name: str, prompt: Prompt | Conversation, sampling: SamplingParams, settings: ChatSettings
) -> Request:
    """Return the request for one answer.

    Args:
        name: What events will call it.
        prompt: What to answer or to continue.
        sampling: How tokens are chosen.
        settings: What a conversation comes with; of it, other prompts take the constraint.

    Raises:
        RequestError: It is none of the kinds of prompts, or a setting is none.
    """
    constraint = settings.get("constraint")
    if isinstance(prompt, str):
        return Request(name, prompt=prompt, sampling=sampling, constraint=constraint)
    if isinstance(prompt, Mapping):
        ids = _token_ids(prompt)
        return Request(name, token_ids=ids, sampling=sampling, constraint=constraint)
    if _is_conversation(prompt):
        tools = settings.get("tools") or ()
        if not isinstance(tools, list | tuple):
            raise RequestError("tools must be a list of JSON schemas.")
        chosen: dict[str, Any] = {**settings, "tools": tuple(tools)}
        return Request(name, messages=tuple(prompt), sampling=sampling, **chosen)
    raise RequestError(
        'A prompt is a text, {"prompt_token_ids": [...]} or a conversation, '
        f"not a {type(prompt).__name__}."
    )


def conversations(messages: Conversation | Sequence[Conversation]) -> list[Conversation]:
    """Return one conversation, or several, as a list.

    Raises:
        RequestError: They are none.
    """
    if _is_conversation(messages):
        return [messages]
    if isinstance(messages, list | tuple) and all(map(_is_conversation, messages)):
        return list(messages)
    raise RequestError("A conversation is a list of messages with role and content.")


def each_sampling(
    params: SamplingParams | Sequence[SamplingParams], count: int
) -> list[SamplingParams]:
    """Return how each of some prompts is answered.

    Args:
        params: One for all, or one each.
        count: Of the prompts.

    Raises:
        RequestError: They are something else.
    """
    if isinstance(params, SamplingParams):
        return [params] * count
    is_list = isinstance(params, list | tuple)
    if not is_list or not all(isinstance(one, SamplingParams) for one in params):
        raise RequestError("Sampling parameters must be SamplingParams, one for all or a list.")
    if len(params) != count:
        raise RequestError(f"{count} prompts came with {len(params)} sampling parameters.")
    return list(params)


def _token_ids(prompt: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(token) for token in prompt["prompt_token_ids"])
    except (KeyError, TypeError) as error:
        raise RequestError(
            'A prompt that is a dict needs "prompt_token_ids", a list of integers.'
        ) from error


def _is_conversation(messages: object) -> TypeGuard[Conversation]:
    return isinstance(messages, list | tuple) and all(isinstance(m, Mapping) for m in messages)
