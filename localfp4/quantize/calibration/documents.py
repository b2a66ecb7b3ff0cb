"""What calibration text is made of, whatever file it stands in; stdlib only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = ("text", "content")
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_PAIRS = (
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("question", "answer"),
)

COLUMNS = (
    *_TEXT,
    "messages",
    "conversations",
    *dict.fromkeys(name for one in _PAIRS for name in one),
)
"""Names of what is read of a record."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, for the model's own template.

    Attributes:
        messages: Its turns, as OpenAI's API has them.
        tools: JSON schemas of tools that it may call.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def plainly(self) -> str:
        """How it reads for a model that was not made for conversations."""
        turns = (f"{turn.get('role', '')}: {turn.get('content') or ''}" for turn in self.messages)
        return "\n\n".join(turns)


Document = str | Chat
"""A text, or a conversation."""


def document_in(record: Mapping[str, Any]) -> Document | None:
    """Return what a record of a data set says, or ``None`` where nothing in it is known as text.

    Args:
        record: With ``text`` or ``content``, with ``messages``, with ``conversations`` as ShareGPT
            has them, or with a question and its answer, such as ``instruction`` and ``output``.
    """
    for name in _TEXT:
        if isinstance(text := record.get(name), str):
            return text
    if (messages := _objects(record.get("messages"))) is not None:
        return Chat(messages, _objects(record.get("tools")) or ())
    if (turns := _objects(record.get("conversations"))) is not None:
        return Chat(tuple(_message(turn) for turn in turns))
    for asked, answered in _PAIRS:
        question, answer = record.get(asked), record.get(answered)
        if isinstance(question, str) and isinstance(answer, str):
            return _exchange(question, record.get("input"), answer)
    return None


def _exchange(question: str, more: object, answer: str) -> Chat:
    """Return a question, with the text that Alpaca's records have beside it, and its answer."""
    if isinstance(more, str) and more.strip():
        question = f"{question}\n\n{more}"
    asked, answered = (
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    )
    return Chat((asked, answered))


def _message(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a turn of ShareGPT's, or one that is none of these as it is."""
    if "from" not in turn:
        return turn
    speaker = str(turn["from"])
    return {"role": _SPEAKERS.get(speaker, speaker), "content": turn.get("value")}


def _objects(value: object) -> tuple[Mapping[str, Any], ...] | None:
    """Return a list of objects, or ``None`` where it is empty or anything else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple(value) if all(isinstance(one, Mapping) for one in value) else None
