"""Turns as rows of the table, and back."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from localfp4.history.turns import Turn
from localfp4.messages import ToolCall

COLUMNS = (
    "id",
    "parent",
    "role",
    "content",
    "reasoning",
    "tool_calls",
    "model",
    "finish",
    "output_tokens",
    "thinking_tokens",
    "thinking_s",
    "tokens_per_s",
    "ttft_s",
    "joules",
)
"""Columns of a turn, named as its fields; the conversation's id comes before them."""

_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
WRITE = f"""
INSERT INTO turns (conversation, {", ".join(COLUMNS)}) VALUES (?{", ?" * len(COLUMNS)})
ON CONFLICT (conversation, id) DO UPDATE SET {_UPDATES}"""
_READ = f"SELECT {', '.join(COLUMNS)} FROM turns WHERE conversation = ? ORDER BY id"


def as_row(conversation: int, turn: Turn) -> tuple[Any, ...]:
    """Return the values of :data:`WRITE`."""
    values: dict[str, Any] = {name: getattr(turn, name) for name in COLUMNS}
    calls = [asdict(call) for call in turn.tool_calls]
    values["tool_calls"] = json.dumps(calls) if calls else ""
    for name in ("content", "reasoning", "model"):
        values[name] = storable(values[name])
    return (conversation, *values.values())


def storable(text: str) -> str:
    """Replace lone surrogates, which are no text to SQLite."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def read_turns(connection: sqlite3.Connection, conversation: int) -> Iterator[Turn]:
    """Yield the turns of a conversation by id, without the pieces that wait to be folded in.

    A turn that follows none of the turns before it (its own was never written) begins a branch,
    so that whoever walks the tree reaches an end.
    """
    known: set[int] = set()
    for row in connection.execute(_READ, (conversation,)):
        values = dict(zip(COLUMNS, row, strict=True))
        calls = values["tool_calls"]
        values["tool_calls"] = tuple(ToolCall(**call) for call in json.loads(calls or "[]"))
        if values["parent"] not in known:
            values["parent"] = None
        known.add(values["id"])
        yield Turn(**values)


def with_pieces(connection: sqlite3.Connection, conversation: int, turns: list[Turn]) -> list[Turn]:
    """Return turns with what has come of those that are being written."""
    grown = read_pieces(connection, "WHERE conversation = ?", (conversation,))
    nothing = ("", "")
    return [
        replace(turn, content=turn.content + content, reasoning=turn.reasoning + reasoning)
        for turn in turns
        for content, reasoning in [grown.get((conversation, turn.id), nothing)]
    ]


def fold_pieces(connection: sqlite3.Connection) -> None:
    """Put what a killed program had written of an answer into its turn.

    A program that is still writing goes on unharmed: its later pieces follow what was folded.
    """
    grow = """
        UPDATE turns SET content = content || ?, reasoning = reasoning || ?
        WHERE conversation = ? AND id = ?"""
    connection.executemany(grow, [(*new, *key) for key, new in read_pieces(connection).items()])
    connection.execute("DELETE FROM pieces")


def read_pieces(
    connection: sqlite3.Connection, where: str = "", values: tuple[int, ...] = ()
) -> dict[tuple[int, int], tuple[str, str]]:
    """Return text and reasoning that have come of turns, by conversation and id."""
    query = f"SELECT conversation, turn, content, reasoning FROM pieces {where} ORDER BY number"
    found: dict[tuple[int, int], tuple[list[str], list[str]]] = {}
    for conversation, turn, content, reasoning in connection.execute(query, values):
        contents, reasonings = found.setdefault((conversation, turn), ([], []))
        contents.append(content)
        reasonings.append(reasoning)
    return {key: ("".join(text), "".join(thought)) for key, (text, thought) in found.items()}
