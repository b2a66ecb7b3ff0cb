"""What every parser of answers has: pieces come out, texts and control tokens go in."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from localfp4.text.conversation import Part
from localfp4.text.tokenizer import without_surrogates


@dataclass(slots=True)
class Content:
    """A piece of the answer proper; not frozen, as every token makes one."""

    text: str


@dataclass(slots=True)
class Reasoning:
    """A piece of what the model thinks before it answers; not frozen either."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A whole tool call; ``arguments`` is a JSON object in text."""

    name: str
    arguments: str


Piece = Content | Reasoning | Call


@dataclass(frozen=True, slots=True)
class Opening:
    """Where in an answer a prompt ends.

    Attributes:
        token: The last control token of the prompt, where it says what follows.
        within: What an answer that is gone on with breaks off in; ``None`` for a new one.
    """

    token: str | None = None
    within: Part | None = None


NEW_ANSWER = Opening()
"""The prompt ends before the answer."""


class AnswerParser(Protocol):
    """Splits one answer. No text is lost: markup that makes no sense is content, as it stands.

    However the text between two control tokens is cut, the pieces joined are the same.
    """

    def text(self, text: str) -> list[Piece]:
        """Take the next piece of text."""

    def mark(self, token: str) -> list[Piece]:
        """Take a control token, spelled out."""

    def end(self) -> list[Piece]:
        """Return what is still held back, at the end of the answer."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that an answer may call.

    Attributes:
        parameters: The JSON schemas of each tool's parameters, by the tool's and their names.
    """

    parameters: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_schemas(cls, schemas: Iterable[Mapping[str, Any]]) -> "Tools":
        """Read tools as OpenAI's API has them; what is malformed is left out."""
        functions = [schema.get("function", schema) for schema in schemas]
        named = [f for f in functions if isinstance(f, Mapping) and isinstance(f.get("name"), str)]
        return cls({function["name"]: _properties(function) for function in named})

    def __bool__(self) -> bool:
        return bool(self.parameters)

    def value(self, tool: str, parameter: str, text: str) -> Any:
        """Read an argument that is written without quotes: JSON, unless it is to be a string."""
        schema = self.parameters.get(tool, {}).get(parameter)
        kind = schema.get("type") if isinstance(schema, Mapping) else "string"
        if kind == "string":
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


def make_call(name: Any, arguments: Any) -> Call | None:
    """Return a call, or ``None`` where its parts are not what they should be."""
    if isinstance(arguments, str):
        arguments = loads(arguments)
    if not isinstance(name, str) or not name.strip() or not isinstance(arguments, dict):
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return Call(name.strip(), without_surrogates(text))


def calls_in(value: Any) -> list[Call] | None:
    """Read one JSON object, or a list of them, with a name and arguments; ``None`` if it is none."""
    entries = value if isinstance(value, list) else [value]
    calls = [
        make_call(entry.get("name"), entry.get("arguments", entry.get("parameters")))
        for entry in entries
        if isinstance(entry, dict)
    ]
    whole = [call for call in calls if call is not None]
    return whole if whole and len(whole) == len(entries) else None


def loads(text: str) -> Any:
    """Parse JSON; ``None`` where it is malformed."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Join neighbours of one kind, and leave out empty ones."""
    whole: list[Piece] = []
    for piece in pieces:
        last = whole[-1] if whole else None
        if isinstance(piece, Call):
            whole.append(piece)
        elif not piece.text:
            continue
        elif isinstance(last, Content | Reasoning) and type(last) is type(piece):
            whole[-1] = type(piece)(last.text + piece.text)
        else:
            whole.append(piece)
    return whole


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
