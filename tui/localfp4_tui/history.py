"""What the chat needs of a place to keep conversations; ``localfp4.history`` provides it.

Every method blocks and may be called from any thread. Those that write raise ``UserError`` where
that cannot be done; what was kept before is still there then.
"""

from collections.abc import Sequence
from typing import Protocol

from localfp4.history import Match, SavedConversation, Summary, Turn


class History(Protocol):
    """Keeps conversations as they grow."""

    def start(self, model: str) -> int:
        """Open a new conversation and return its id."""

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

        Raises:
            ChangedElsewhereError: Another window has changed its turns, which is what stays.
        """

    def extend(self, conversation: int, turn: Turn, text: str, reasoning: str) -> None:
        """Keep a piece of an answer that is being written, called for every piece.

        Args:
            conversation: Which.
            turn: The answer as it began: its id, its parent, and what it had before.
            text: The piece of the answer proper.
            reasoning: The piece of what the model thinks.
        """

    def load(self, conversation: int) -> SavedConversation:
        """Return a conversation; an answer that was being written is part of it.

        Raises:
            UserError: There is none of this id.
        """

    def recent(self, limit: int = 200) -> list[Summary]:
        """Return conversations, the one that changed last first."""

    def search(self, words: str, limit: int = 50) -> list[Match]:
        """Return turns that hold all words, the best first; the last word may be a beginning."""

    def rename(self, conversation: int, title: str) -> None:
        """Give a conversation a name."""

    def delete(self, conversation: int) -> None:
        """Forget a conversation."""

    def preference(self, name: str) -> str | None:
        """Return what :meth:`prefer` was last told, or ``None``."""

    def prefer(self, name: str, value: str) -> None:
        """Remember a choice of the user, such as the theme, for the next start."""
