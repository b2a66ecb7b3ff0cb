"""Conversations kept in an SQLite file; the caller names the file.

Knows nothing of where users keep their data, of screens or of engines.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from localfp4.errors import ChangedElsewhereError, UserError
from localfp4.history.database import Database
from localfp4.history.listing import recent, search
from localfp4.history.rows import WRITE, as_row, read_turns, storable, with_pieces
from localfp4.history.turns import Match, SavedConversation, Summary, Turn

_EXTEND = """
INSERT INTO pieces (conversation, turn, content, reasoning)
SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM conversations WHERE id = ?1 AND revision = ?5)"""
_REMOVE_TURN = "DELETE FROM turns WHERE conversation = ? AND id = ?"
_REMOVE_PIECES = "DELETE FROM pieces WHERE conversation = ? AND turn = ?"
_SET_FACTS = """
UPDATE conversations SET leaf = ?1, title = ?2, model = ?3, system = ?4, revision = revision + ?5,
       updated_at = iif(?5, CURRENT_TIMESTAMP, updated_at) WHERE id = ?6"""
_SET_LEAF = """
UPDATE conversations SET leaf = ?,
       revision = revision + 1, updated_at = CURRENT_TIMESTAMP WHERE id = ?"""


class SqliteHistory:
    """Conversations in one file, which several programs may use at once.

    Each call is one transaction: a process killed in the middle of it leaves what there was
    before it. Where two programs go on with the same conversation, the one that saves later is
    told so and changes nothing. Methods may be called from any thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._revisions: dict[int, int] = {}
        self._saved: dict[int, dict[int, Turn]] = {}
        self._growing: dict[tuple[int, int], Turn] = {}

    @classmethod
    def open(cls, path: Path) -> "SqliteHistory":
        """Open a history, creating its folder and its file, for its owner alone, where missing.

        Raises:
            UserError: The file cannot be written, is no history, or is of a newer version.
        """
        return cls(Database.open(path))

    def start(self, model: str) -> int:
        """Open a new conversation with a model and return its id.

        Raises:
            UserError: It cannot be written.
        """
        insert = "INSERT INTO conversations (model, revision) VALUES (?, ?) RETURNING id"
        # SQLite gives the id of a deleted conversation again. A program that has that one open
        # still must not take the new one for it, so that revisions begin anywhere.
        revision = secrets.randbits(48)
        with self._lock:
            with self._database.writing() as connection:
                row = connection.execute(insert, (storable(model), revision)).fetchone()
            conversation = int(row[0])
            self._revisions[conversation] = revision
            self._saved[conversation] = {}
        return conversation

    def save(
        self,
        conversation: int,
        turns: Sequence[Turn],
        *,
        leaf: int | None,
        title: str,
        model: str,
        system: str | None,
    ) -> None:
        """Make ``turns`` the whole of a conversation, and the rest its facts.

        Only what has changed is written, and where no turn has, the conversation does not count as
        changed: to look at one does not make it the newest, nor keep another program from going on
        with it. An answer that :meth:`extend` writes and that is among the turns as it began goes
        on being written.

        Raises:
            ChangedElsewhereError: Another program has changed its turns, which is what stays.
            UserError: It cannot be written, or has been deleted; what was saved before is still
                there.
        """
        facts = (leaf, storable(title), storable(model), system and storable(system))
        with self._lock:
            with self._database.writing() as connection:
                revision = self._check_in(connection, conversation)
                old = self._known(connection, conversation)
                new = {turn.id: turn for turn in turns}
                changed = [
                    turn
                    for turn in turns
                    if old.get(turn.id) != turn != self._growing.get((conversation, turn.id))
                ]
                gone = [(conversation, id_) for id_ in old if id_ not in new]
                over = gone + [(conversation, turn.id) for turn in changed]
                connection.executemany(_REMOVE_TURN, gone)
                connection.executemany(_REMOVE_PIECES, over)
                connection.executemany(WRITE, [as_row(conversation, turn) for turn in changed])
                connection.execute(_SET_FACTS, (*facts, bool(over), conversation))
            self._revisions[conversation] = revision + bool(over)
            self._saved[conversation] = new
            for key in over:
                self._growing.pop(key, None)

    def extend(self, conversation: int, turn: Turn, text: str, reasoning: str) -> None:
        """Keep a piece of an answer that is being written, called for every piece.

        A piece is one row that is appended, so that this can be called for every token.

        Args:
            conversation: Which.
            turn: The answer as it began: its id, its parent, and what it had before.
            text: The piece of the answer proper.
            reasoning: The piece of what the model thinks.

        Raises:
            UserError: It cannot be written, or another program has changed the conversation.
        """
        with self._lock:
            if self._growing.get((conversation, turn.id)) != turn:
                self._begin_to_grow(conversation, turn)
            revision = self._revisions[conversation]
            piece = (conversation, turn.id, storable(text), storable(reasoning), revision)
            if not self._database.write(_EXTEND, piece):
                raise _changed_elsewhere(conversation)

    def load(self, conversation: int) -> SavedConversation:
        """Return a conversation; an answer that was being written is part of it.

        Raises:
            UserError: There is none of this id, or the file cannot be read.
        """
        query = "SELECT title, model, system, leaf, revision FROM conversations WHERE id = ?"
        with self._lock:
            with self._database.reading() as connection:
                row = connection.execute(query, (conversation,)).fetchone()
                if row is None:
                    raise _missing(conversation)
                stored = list(read_turns(connection, conversation))
                turns = tuple(with_pieces(connection, conversation, stored))
            title, model, system, leaf, self._revisions[conversation] = row
            self._saved[conversation] = {turn.id: turn for turn in turns}
        return SavedConversation(conversation, title, model, system, turns, leaf)

    def recent(self, limit: int = 200) -> list[Summary]:
        """Return conversations in which something was said, the one that changed last first.

        Raises:
            UserError: The file cannot be read.
        """
        with self._database.reading() as connection:
            return recent(connection, limit)

    def search(self, words: str, limit: int = 50) -> list[Match]:
        """Return turns that hold all words, the best first; the last word may be a beginning.

        Upper case, accents and punctuation make no difference. Conversations whose title holds
        all words come first, each with its newest turn.

        Raises:
            UserError: The file cannot be read.
        """
        with self._database.reading() as connection:
            return search(connection, words, limit)

    def rename(self, conversation: int, title: str) -> None:
        """Give a conversation a name.

        Raises:
            UserError: There is none of this id, or it cannot be written.
        """
        update = "UPDATE conversations SET title = ? WHERE id = ?"
        if not self._database.write(update, (storable(title), conversation)):
            raise _missing(conversation)

    def delete(self, conversation: int) -> None:
        """Forget a conversation.

        Raises:
            UserError: There is none of this id, or it cannot be written.
        """
        if not self._database.write("DELETE FROM conversations WHERE id = ?", (conversation,)):
            raise _missing(conversation)

    def preference(self, name: str) -> str | None:
        """Return what :meth:`prefer` was last told, or ``None``.

        Raises:
            UserError: The file cannot be read.
        """
        with self._database.reading() as connection:
            query = "SELECT value FROM preferences WHERE name = ?"
            row = connection.execute(query, (name,)).fetchone()
        return None if row is None else str(row[0])

    def prefer(self, name: str, value: str) -> None:
        """Remember a choice of the user, such as the theme, for the next start.

        Raises:
            UserError: It cannot be written.
        """
        self._database.write("REPLACE INTO preferences VALUES (?, ?)", (name, storable(value)))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._database.close()

    def _begin_to_grow(self, conversation: int, turn: Turn) -> None:
        """Write the turn that pieces are to follow, in the state in which it begins."""
        with self._database.writing() as connection:
            revision = self._check_in(connection, conversation)
            known = self._known(connection, conversation)
            connection.execute(_REMOVE_PIECES, (conversation, turn.id))
            connection.execute(WRITE, as_row(conversation, turn))
            connection.execute(_SET_LEAF, (turn.id, conversation))
        self._revisions[conversation] = revision + 1
        self._saved[conversation] = known | {turn.id: turn}
        self._growing[conversation, turn.id] = turn

    def _known(self, connection: sqlite3.Connection, conversation: int) -> dict[int, Turn]:
        """Return the turns as they are in the file, by id; read only if never seen."""
        if (saved := self._saved.get(conversation)) is not None:
            return saved
        return {turn.id: turn for turn in read_turns(connection, conversation)}

    def _check_in(self, connection: sqlite3.Connection, conversation: int) -> int:
        """Return the revision, which must be the one that this object wrote or read last."""
        query = "SELECT revision FROM conversations WHERE id = ?"
        row = connection.execute(query, (conversation,)).fetchone()
        if row is None:
            raise UserError(f"Conversation {conversation} has been deleted; it is not saved again.")
        revision = int(row[0])
        if self._revisions.get(conversation, revision) != revision:
            raise _changed_elsewhere(conversation)
        return revision


def _missing(conversation: int) -> UserError:
    return UserError(
        f"There is no conversation {conversation}; localfp4 history lists those there are."
    )


def _changed_elsewhere(conversation: int) -> ChangedElsewhereError:
    return ChangedElsewhereError(
        f"Conversation {conversation} has been changed in another window, which is what stays "
        "saved; open it again to go on, or export this one."
    )
