"""What a request for a response may hold; fields that are not here are passed over."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from localfp4.server.asker import AskerFields
from localfp4.server.fields import Count, Fields, Many
from localfp4.server.sampling import SamplingFields

_STATELESS = "nothing is kept between requests; send the whole conversation as input."


class Part(Fields):
    """A piece of what was said or returned."""

    type: Annotated[str, Field(description="input_text, output_text or refusal")]
    text: str | None = None
    refusal: str | None = None


def _as_parts(content: Any) -> Any:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


Parts = Annotated[Many[Part], BeforeValidator(_as_parts, json_schema_input_type=str | list[Part])]


class MessageItem(Fields):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Parts


class Thought(Fields):
    """A piece of what was thought."""

    text: str


class ReasoningItem(Fields):
    """What an answer thought; where there is only a summary, that."""

    type: Literal["reasoning"]
    summary: Many[Thought] | None = None
    content: Many[Thought] | None = None


class CallItem(Fields):
    """A call of a function."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class CallOutputItem(Fields):
    """What a call of a function has led to."""

    type: Literal["function_call_output"]
    call_id: str
    output: Parts


def _with_type(item: Any) -> Any:
    """Name the kind of a message, which may be left out."""
    if isinstance(item, dict) and "type" not in item and "role" in item:
        return {**item, "type": "message"}
    return item


AnyItem = MessageItem | ReasoningItem | CallItem | CallOutputItem
Item = Annotated[
    Annotated[AnyItem, Field(discriminator="type")],
    BeforeValidator(_with_type, json_schema_input_type=AnyItem),
]


def _as_items(value: Any) -> Any:
    return (
        [{"type": "message", "role": "user", "content": value}] if isinstance(value, str) else value
    )


class Tool(Fields):
    """A function on offer, or a tool that OpenAI runs."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Format(Fields):
    """The form of what the answer says."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class TextConfig(Fields):
    """How the answer is written."""

    format: Format | None = None


class Reasoning(Fields):
    """How much the model thinks, and whether its thoughts come as a summary."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class Prompt(SamplingFields, AskerFields):
    """What a model is given to read: a request whose tokens are counted."""

    refused: ClassVar[Mapping[str, str]] = {
        "previous_response_id": _STATELESS,
        "conversation": _STATELESS,
        "background": "nothing is kept to be fetched later; wait for the answer, or stream it.",
        "prompt": "there are no stored prompts; send instructions and input.",
    }

    model: str | None = Field(None, description="Any: there is one model.")
    input: Annotated[
        Many[Item],
        BeforeValidator(_as_items, json_schema_input_type=str | list[AnyItem]),
        Field(min_length=1),
    ]
    instructions: str | None = None
    tools: Many[Tool] | None = None
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] = "disabled"


class ResponseRequest(Prompt):
    """A request for a response."""

    max_output_tokens: Annotated[Count, Field(ge=1)] | None = None
    top_logprobs: Count | None = None
    include: Many[str] | None = None
    metadata: dict[str, str] | None = None
    stream: bool = False
