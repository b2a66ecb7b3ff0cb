"""Keeps the conversation of a plain chat in the history while it grows."""

from typing import TYPE_CHECKING

from localfp4.cli.failure import complain
from localfp4.errors import UserError
from localfp4_tui.conversation import Conversation

if TYPE_CHECKING:
    from localfp4.history import SqliteHistory, Turn


class Keeping:
    """Writes to a history until that fails, which it tells once; the chat goes on unsaved.

    Attributes:
        has_failed: Whether something could not be written.
    """

    def __init__(self, history: "SqliteHistory | None", model: str) -> None:
        self.has_failed = False
        self._history = history
        self._model = model

    def save(self, conversation: Conversation) -> None:
        """Keep a conversation as it is; one that nothing was said in is not begun."""
        if self._history is None or not (conversation.all_turns or conversation.saved_as):
            return
        try:
            if conversation.saved_as is None:
                conversation.saved_as = self._history.start(self._model)
            self._history.save(
                conversation.saved_as,
                conversation.all_turns,
                leaf=conversation.leaf,
                title=conversation.title,
                model=self._model,
                system=conversation.system,
            )
        except UserError as error:
            self._give_up(error)

    def extend(self, conversation: Conversation, turn: "Turn", text: str, reasoning: str) -> None:
        """Keep a piece of the answer that is being written."""
        if self._history is None or conversation.saved_as is None:
            return
        try:
            self._history.extend(conversation.saved_as, turn, text, reasoning)
        except UserError as error:
            self._give_up(error)

    def _give_up(self, error: UserError) -> None:
        self._history = None
        self.has_failed = True
        complain(f"{error} This chat goes on, but is no longer saved.")
