"""Keeps a conversation in the history while it grows; no widgets, no SQL."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

from localfp4.errors import ChangedElsewhereError, UserError
from localfp4.history import Turn
from localfp4_tui.conversation import Conversation, title_of
from localfp4_tui.history import History


class GrowingAnswer:
    """An answer on its way into the history, piece by piece.

    :meth:`extend` is called by the thread that reads the answer. Where it cannot be written the
    rest is left out in silence: the answer is saved, or that fails and is told, at its end.

    Attributes:
        turn: The answer as it began.
    """

    def __init__(self, turn: Turn, write: Callable[[Turn, str, str], None], writing: Lock) -> None:
        self.turn = turn
        self._write = write
        self._writing = writing
        self._is_written = False
        self._has_failed = False
        self._is_over = False

    def extend(self, text: str, reasoning: str) -> None:
        """Keep a piece of the answer."""
        if not text and not reasoning:
            return
        with self._writing:
            if self._is_over or self._has_failed:
                return
            try:
                self._write(self.turn, text, reasoning)
                self._is_written = True
            except UserError:
                self._has_failed = True

    @property
    def is_partly_kept(self) -> bool:
        """Whether the history has a part of it, which a save is not to take for removed."""
        return self._is_written and not self._is_over

    def close(self) -> None:
        """Take no more pieces: the answer is about to be saved as a whole.

        A piece that is being written is not waited for, since the screen would stand still while
        another program locks the history; the save waits for it.
        """
        self._is_over = True


class Autosave:
    """Saves conversations; a failure is told once, until it works again.

    A full disk must not end a conversation, nor complain at every turn of it; and once there is
    room again, the next save writes all that the failed ones did not.
    """

    def __init__(self, history: History | None) -> None:
        self._history = history
        self._writing = Lock()
        self._growing: GrowingAnswer | None = None
        self._is_failing = False

    def grow(self, conversation: Conversation, turn: Turn) -> GrowingAnswer | None:
        """Begin to keep an answer; ``None`` if what it follows could not be kept."""
        history, id_ = self._history, conversation.saved_as
        self._growing = None
        if history is not None and id_ is not None and not self._is_failing:
            write = partial(history.extend, id_)
            self._growing = GrowingAnswer(turn, write, self._writing)
        return self._growing

    async def save(
        self, conversation: Conversation, model: str, to_come: Sequence[Turn] = ()
    ) -> None:
        """Write a conversation, giving it an id at the first time that it has turns.

        Args:
            conversation: What to keep.
            model: Who it is held with.
            to_come: Turns that are kept with it and are none of it yet, each after the one before.

        Raises:
            UserError: It could not be written, for the first time since it could be; or it was
                changed in another window, and is kept as a conversation of its own from now on.
        """
        turns = [*conversation.all_turns, *to_come]
        leaf = to_come[-1].id if to_come else conversation.leaf
        if self._history is None or not (turns or conversation.saved_as):
            return
        try:
            is_apart = await asyncio.to_thread(
                self._write, self._history, conversation, turns, leaf, model
            )
        except UserError:
            if not self._is_failing:
                self._is_failing = True
                raise
            return
        self._is_failing = False
        if is_apart:
            raise UserError(
                "This chat was gone on with in another window; from here on, both are kept, each "
                "as a chat of its own."
            )

    def _write(
        self,
        history: History,
        conversation: Conversation,
        turns: list[Turn],
        leaf: int | None,
        model: str,
    ) -> bool:
        """Write a conversation, and return whether that had to be beside what it was saved as."""
        with self._writing:
            if conversation.saved_as is None:
                conversation.saved_as = history.start(model)
            save = partial(
                history.save,
                turns=self._with_growing(turns),
                leaf=leaf,
                title=conversation.title or (title_of(turns[0].content) if turns else ""),
                model=model,
                system=conversation.system,
            )
            try:
                save(conversation.saved_as)
            except ChangedElsewhereError:
                conversation.saved_as = history.start(model)
                save(conversation.saved_as)
                return True
        return False

    def _with_growing(self, turns: list[Turn]) -> list[Turn]:
        """Return turns with the one being written, which is not to be taken for removed."""
        growing = self._growing
        if growing is None or not growing.is_partly_kept or growing.turn in turns:
            return turns
        return [*turns, growing.turn]
