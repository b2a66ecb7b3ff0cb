"""From blocks to the turns of a conversation."""

import json
from typing import Any

from localfp4.messages import ChatMessage
from localfp4.server.anthropic.schema import (
    Block,
    DocumentBlock,
    ImageBlock,
    Prompt,
    ReadBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from localfp4.server.errors import bad_request
from localfp4.server.turns import BREAK, LEFT_OUT, Turns

_BILLING = "x-anthropic-billing-header:"
"""Claude Code begins its instructions with a line of this name, for Anthropic and not for the model.
Its checksum is another one in every request, so that no two prompts would share a beginning."""


def conversation(prompt: Prompt) -> tuple[ChatMessage, ...]:
    """Return the turns of a conversation.

    Raises:
        ApiError: There is an image or a file in it.
    """
    turns = Turns()
    for instruction in prompt.system or ():
        if text := _without_billing(instruction.text).strip():
            turns.instruct(text)
    for place, message in enumerate(prompt.messages):
        for number, block in enumerate(message.content):
            _add(turns, message.role, block, f"messages[{place}].content[{number}]")
    return turns.messages()


def _without_billing(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(_BILLING) else text


def _add(turns: Turns, role: str, block: Block, place: str) -> None:
    match block:
        case RedactedThinkingBlock():
            pass
        case ThinkingBlock():
            if block.thinking.strip():
                turns.think(block.thinking)
        case ToolUseBlock():
            turns.call(block.id, block.name, json.dumps(block.input, ensure_ascii=False))
        case ToolResultBlock():
            turns.result(block.tool_use_id, _returned(block))
        case TextBlock() | ImageBlock() | DocumentBlock() | SearchResultBlock():
            text = _read(block)
            if text is None:
                raise bad_request(
                    f"{place}: this model reads text only; leave out images and files.", place
                )
            _speak(turns, role, text)


def _returned(block: ToolResultBlock) -> str:
    texts = [_read(part) for part in block.content or ()]
    told = BREAK.join(LEFT_OUT if text is None else text for text in texts)
    return f"Error: {told}" if block.is_error else told


def _speak(turns: Turns, role: str, text: str) -> None:
    match role:
        case _ if not text.strip():
            pass
        case "system":
            turns.instruct(text)
        case "assistant":
            turns.answer(text)
        case _:
            turns.ask(text)


def _read(block: ReadBlock | ToolReferenceBlock) -> str | None:
    """Return what there is to read in a block; ``None`` if it is no text."""
    match block:
        case TextBlock():
            return block.text
        case ToolReferenceBlock():
            return f"The tool {block.tool_name} is there."
        case SearchResultBlock():
            return BREAK.join([block.title, block.source, *(text.text for text in block.content)])
        case DocumentBlock():
            return _document(block)
    return None


def _document(block: DocumentBlock) -> str | None:
    match block.source:
        case {"type": "text", "data": str(text)} | {"type": "content", "content": str(text)}:
            texts = [text]
        case {"type": "content", "content": [*parts]}:
            texts = [part["text"] for part in parts if _is_text(part)]
            if len(texts) != len(parts):
                return None
        case _:
            return None
    return BREAK.join(text for text in (block.title, block.context, *texts) if text)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
