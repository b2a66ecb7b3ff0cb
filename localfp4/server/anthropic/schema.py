"""What a request for a message may hold; fields that are not here are passed over."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from localfp4.server.fields import Count, Fields, Many, Refusing


class TextBlock(Fields):
    """Text."""

    type: Literal["text"]
    text: str


class ImageBlock(Fields):
    """An image, which only the results of tools may have; the model is told that it was there."""

    type: Literal["image"]


class DocumentBlock(Fields):
    """A text to read; its source is ``text`` or ``content``."""

    type: Literal["document"]
    source: dict[str, Any]
    title: str | None = None
    context: str | None = None


class SearchResultBlock(Fields):
    """A text that was found."""

    type: Literal["search_result"]
    source: str
    title: str
    content: Many[TextBlock]


class ThinkingBlock(Fields):
    """What an answer thought."""

    type: Literal["thinking"]
    thinking: str


class RedactedThinkingBlock(Fields):
    """What another model thought, and nobody can read."""

    type: Literal["redacted_thinking"]


class ToolUseBlock(Fields):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ToolReferenceBlock(Fields):
    """The name of a tool that a search for tools has found."""

    type: Literal["tool_reference"]
    tool_name: str


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


ReadBlock = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock
ReadBlocks = Annotated[
    Many[Annotated[ReadBlock | ToolReferenceBlock, Field(discriminator="type")]],
    BeforeValidator(_as_blocks, json_schema_input_type=str | list[ReadBlock | ToolReferenceBlock]),
]


class ToolResultBlock(Fields):
    """What a call of a tool has led to."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: ReadBlocks | None = None
    is_error: bool | None = None


Block = ReadBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock
Blocks = Annotated[
    Many[Annotated[Block, Field(discriminator="type")]],
    BeforeValidator(_as_blocks, json_schema_input_type=str | list[Block]),
]
TextBlocks = Annotated[
    Many[TextBlock], BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock])
]


class Message(Fields):
    """A turn of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: Blocks


class Tool(Fields):
    """A tool of the client's, or one that Anthropic knows by its ``type``."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class Choice(Fields):
    """Whether tools are called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Fields):
    """Whether the model thinks before it answers."""

    type: str
    budget_tokens: Count | None = None


class Format(Fields):
    """The form of what the answer says."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Fields):
    """How much the model thinks, and the form of what it says."""

    effort: str | None = None
    format: Format | None = None


class Metadata(Fields):
    """Who asks."""

    user_id: str | None = None


class Prompt(Refusing):
    """What a model is given to read: a request whose tokens are counted."""

    refused: ClassVar[Mapping[str, str]] = {
        "compaction": "ask for a summary in words.",
        "container": "the server runs no code.",
        "mcp_servers": "the server calls no others; offer their tools as the client's own.",
    }

    model: str | None = Field(None, description="Any: there is one model.")
    messages: Annotated[Many[Message], Field(min_length=1)]
    system: TextBlocks | None = None
    tools: Many[Tool] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    thread: dict[str, Any] | None = None


class MessageRequest(Prompt):
    """A request for a message."""

    max_tokens: Annotated[Count, Field(ge=1)]
    temperature: float | None = None
    top_p: float | None = None
    top_k: Count | None = None
    stop_sequences: Many[str] | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
