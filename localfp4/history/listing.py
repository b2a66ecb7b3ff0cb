"""Lists of conversations: the newest ones, and those in which words were said."""

import sqlite3
from collections.abc import Collection

from localfp4.history.excerpt import (
    FOUND_CLOSES,
    FOUND_OPENS,
    Excerpt,
    marked_excerpt,
    one_line,
    plain_excerpt,
)
from localfp4.history.full_text import has_fts5
from localfp4.history.query import Query, like, parse_query
from localfp4.history.turns import Match, Role, Summary

TITLE_LENGTH = 60
_SNIPPET_TOKENS = 24

_SUMMARIES = """
SELECT c.id, c.title, c.model, c.updated_at,
       (SELECT count(*) FROM turns WHERE conversation = c.id),
       (SELECT substr(content, 1, 400) FROM turns
        WHERE conversation = c.id AND role = 'user' ORDER BY id LIMIT 1)
FROM conversations AS c
WHERE EXISTS (SELECT 1 FROM turns WHERE conversation = c.id)"""


def recent(connection: sqlite3.Connection, limit: int) -> list[Summary]:
    """Return conversations in which something was said, the one that changed last first."""
    query = f"{_SUMMARIES} ORDER BY c.updated_at DESC, c.id DESC LIMIT ?"
    return [_summary(row) for row in connection.execute(query, (limit,))]


def search(connection: sqlite3.Connection, text: str, limit: int) -> list[Match]:
    """Return turns that hold all words of ``text``, those of fitting titles first."""
    query = parse_query(text, has_index=has_fts5(connection))
    if not query.words:
        return []
    titled = _titled(connection, query, limit)
    rows = _said(connection, query, limit - len(titled))
    summaries = _summaries_of(connection, {row[0] for row in rows})
    said = [
        Match(summaries[conversation], turn, role, *_excerpt(text, query))
        for conversation, turn, role, text in rows
    ]
    return titled + said


def shortened(text: str, length: int = TITLE_LENGTH) -> str:
    """Return the beginning of a text as one line, cut between two words where there are some."""
    line = one_line(text)
    if len(line) <= length:
        return line
    cut = line[: length - 1]
    return (cut[: cut.rfind(" ")] if " " in cut[length // 2 :] else cut).rstrip() + "…"


def _said(
    connection: sqlite3.Connection, query: Query, limit: int
) -> list[tuple[int, int, Role, str]]:
    """Return conversation, id, role and text of turns; the text is a snippet with an index."""
    held = " AND ".join(["t.content LIKE ? ESCAPE '\\'"] * len(query.contained))
    patterns = [like(word) for word in query.contained]
    if not query.indexed:
        select = f"SELECT conversation, id, role, content FROM turns AS t WHERE {held}"
        order = "ORDER BY t.row DESC LIMIT ?"
        return connection.execute(f"{select} {order}", (*patterns, limit)).fetchall()
    snippet = f"snippet(words, 0, ?, ?, '…', {_SNIPPET_TOKENS})"
    select = f"""
        SELECT t.conversation, t.id, t.role, {snippet}
        FROM words JOIN turns AS t ON t.row = words.rowid
        WHERE words MATCH ? {"AND " * bool(held)}{held} ORDER BY rank LIMIT ?"""
    values = (FOUND_OPENS, FOUND_CLOSES, query.match, *patterns, limit)
    return connection.execute(select, values).fetchall()


def _titled(connection: sqlite3.Connection, query: Query, limit: int) -> list[Match]:
    """Return the newest turn of conversations whose own title holds all words."""
    held = " AND c.title LIKE ? ESCAPE '\\'" * len(query.words)
    select = f"""
        SELECT found.*, t.id, t.role FROM ({_SUMMARIES}{held}) AS found
        JOIN turns AS t ON t.conversation = found.id
        WHERE t.id = (SELECT max(id) FROM turns WHERE conversation = found.id)
        ORDER BY found.updated_at DESC, found.id DESC LIMIT ?"""
    rows = connection.execute(select, (*(like(word) for word in query.words), limit))
    return [
        Match(_summary(row[:6]), row[6], row[7], *plain_excerpt(row[1], query.words))
        for row in rows
    ]


def _excerpt(text: str, query: Query) -> Excerpt:
    return marked_excerpt(text) if query.indexed else plain_excerpt(text, query.words)


def _summaries_of(connection: sqlite3.Connection, ids: Collection[int]) -> dict[int, Summary]:
    select = f"{_SUMMARIES} AND c.id IN ({', '.join('?' * len(ids))})"
    rows = connection.execute(select, tuple(ids))
    return {row[0]: _summary(row) for row in rows}


def _summary(row: tuple[int, str, str, str, int, str | None]) -> Summary:
    id_, title, model, updated_at, turns, question = row
    return Summary(id_, shortened(title or question or ""), model, turns, updated_at)
