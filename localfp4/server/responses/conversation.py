"""From items to the turns of a conversation."""

from collections.abc import Sequence

from localfp4.messages import ChatMessage
from localfp4.server.errors import bad_request
from localfp4.server.responses.schema import (
    CallItem,
    CallOutputItem,
    MessageItem,
    Part,
    Prompt,
    ReasoningItem,
)
from localfp4.server.turns import BREAK, LEFT_OUT, Turns

_TEXTS = ("input_text", "output_text", "text")


def conversation(prompt: Prompt) -> tuple[ChatMessage, ...]:
    """Return the turns of a conversation.

    Raises:
        ApiError: There is an image, a sound or a file in it.
    """
    turns = Turns()
    if prompt.instructions:
        turns.instruct(prompt.instructions)
    for number, item in enumerate(prompt.input):
        match item:
            case MessageItem():
                _speak(turns, item, f"input[{number}]")
            case ReasoningItem():
                thoughts = [thought.text for thought in item.content or item.summary or ()]
                if thoughts:
                    turns.think(BREAK.join(thoughts))
            case CallItem():
                turns.call(item.call_id, item.name, item.arguments)
            case CallOutputItem():
                turns.result(item.call_id, _returned(item.output))
    return turns.messages()


def _speak(turns: Turns, item: MessageItem, place: str) -> None:
    text = _said(item.content, f"{place}.content")
    match item.role:
        case _ if not text.strip():
            pass
        case "system" | "developer":
            turns.instruct(text)
        case "assistant":
            turns.answer(text)
        case "user":
            turns.ask(text)


def _said(parts: Sequence[Part], place: str) -> str:
    texts = []
    for number, part in enumerate(parts):
        text = _read(part)
        if text is None:
            raise bad_request(
                f"{place}[{number}] is of the type {part.type[:40]!r}: only text is read, no "
                "images, sounds or files.",
                f"{place}[{number}]",
            )
        texts.append(text)
    return BREAK.join(texts)


def _returned(parts: Sequence[Part]) -> str:
    return BREAK.join(LEFT_OUT if text is None else text for text in map(_read, parts))


def _read(part: Part) -> str | None:
    if part.type == "refusal":
        return part.refusal
    return (part.text or "") if part.type in _TEXTS else None
