"""Keeps a conversation in the history while it grows; no widgets, no SQL."""

import asyncio
from threading import Lock

from localfp4.errors import UserError
from localfp4_tui.conversation import Conversation
from localfp4_tui.history import History


class Autosave:
    """Saves conversations until the first failure, then stays silent.

    A full disk must not end a conversation, nor complain at every turn of it.
    """

    def __init__(self, history: History | None, model: str) -> None:
        self._history = history
        self._model = model
        self._writing = Lock()

    async def save(self, conversation: Conversation) -> None:
        """Write a conversation that has turns, giving it an id at the first time.

        Raises:
            UserError: It could not be written. Raised once; later calls do nothing.
        """
        if self._history is None or not conversation.turns:
            return
        try:
            await asyncio.to_thread(self._write, self._history, conversation)
        except UserError:
            self._history = None
            raise

    def _write(self, history: History, conversation: Conversation) -> None:
        with self._writing:
            if conversation.saved_as is None:
                conversation.saved_as = history.start(self._model)
            history.save(conversation.saved_as, list(conversation.messages()))
