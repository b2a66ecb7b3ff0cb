"""OpenAI's messages as the engine takes them."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from localfp4.messages import ChatMessage
from localfp4.server.errors import bad_request
from localfp4.server.fields import Fields, Many
from localfp4.server.settings import Limits


class Part(Fields):
    """A piece of what was said."""

    type: str = Field(description="text")
    text: str | None = None
    refusal: str | None = None


class CalledFunction(Fields):
    """What was called."""

    name: str = Field(min_length=1)
    arguments: str | dict[str, Any] = ""


class Called(Fields):
    """A call in an earlier answer."""

    id: str | None = None
    type: str = "function"
    function: CalledFunction


class Message(Fields):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Many[Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Many[Called] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    prefix: bool | None = Field(None, description="The answer is to be gone on with.")


def conversation(messages: Sequence[Message], limits: Limits) -> tuple[ChatMessage, ...]:
    """Return the turns of a conversation.

    Raises:
        ApiError: There are too many, one says nothing, or one holds more than text.
    """
    if len(messages) > limits.messages:
        raise bad_request(
            f"At most {limits.messages} messages are taken, not {len(messages)}.", "messages"
        )
    return tuple(_turn(message, f"messages[{at}]") for at, message in enumerate(messages))


def _turn(message: Message, place: str) -> ChatMessage:
    if message.content is None and not (message.role == "tool" or message.role == "assistant"):
        raise bad_request(f"{place} has no content.", f"{place}.content")
    turn: ChatMessage = {"role": message.role, "content": _text(message, place)}
    if message.role == "assistant":
        thought = message.reasoning_content or message.reasoning
        if thought:
            turn["reasoning_content"] = thought
        if message.tool_calls:
            turn["tool_calls"] = [call.model_dump(exclude_none=True) for call in message.tool_calls]
    if message.role == "tool":
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        if message.name is not None:
            turn["name"] = message.name
    return turn


def _text(message: Message, place: str) -> str:
    content = message.content
    if not isinstance(content, list):
        return content or ""
    return "\n".join(_part(part, f"{place}.content[{at}]") for at, part in enumerate(content))


def _part(part: Part, place: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type not in ("text", "input_text", "output_text", "refusal"):
        raise bad_request(
            f"{place} is of the type {part.type[:40]!r}: only text is read, no images, sounds or "
            "files.",
            place,
        )
    if text is None:
        raise bad_request(f"{place} has no text.", place)
    return text
