"""A text area that completes commands, their arguments and the names of files while one types."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from localfp4_tui import completion
from localfp4_tui.completion import Entry, Option, Suggestion, Word
from localfp4_tui.widgets.suggestion_list import SuggestionList


class CompletingArea(TextArea):
    """Offers what the word before the cursor could become, in a list above.

    Everything happens in the order in which keys were pressed, however fast: what is known is
    offered in the very step that inserts a letter, and what has to be looked up is offered when
    it is there, unless the word has changed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete the word", id="completion.take"),
        Binding("up", "suggestion(-1)", "Suggestion above", id="completion.up"),
        Binding("down", "suggestion(1)", "Suggestion below", id="completion.down"),
        Binding("down", "cursor_down", "Cursor down", show=False),
        Binding("escape", "close_suggestions", "Close the suggestions", id="completion.close"),
    ]

    @dataclass
    class OptionsWanted(Message):
        """The arguments of a command are to be offered; :meth:`offer` takes them."""

        command: str

    class Toggled(Message):
        """There is something to choose from now, or no longer."""

    def __init__(self, placeholder: str) -> None:
        self._list = SuggestionList(self)
        self._folder: str | None = None
        self._entries: list[Entry] = []
        self._options: dict[str, Sequence[Option]] = {}
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder=placeholder,
        )

    def on_mount(self) -> None:
        """Put the list onto the screen."""
        self.screen.mount(self._list)

    @property
    def is_suggesting(self) -> bool:
        """Whether there is something to choose from."""
        return self._list.display

    async def on_key(self, event: Key) -> None:
        """Do what keys of this widget are bound to in the order in which they were pressed.

        A binding with priority would run before keys that still wait in this widget's queue, and
        one without after keys that came later: both tear apart what is typed or pasted fast.
        """
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.node is self:
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the keys of the list to others while it is closed."""
        if action in ("complete", "suggestion", "close_suggestions"):
            return self.is_suggesting
        return super().check_action(action, parameters)

    def update_suggestion(self) -> None:
        """Offer what fits after every edit."""
        if not self.is_mounted:
            return
        word = self._word()
        if word is None:
            self.action_close_suggestions()
        elif word.kind == "command":
            self._show(word, completion.suggest_commands(word))
        elif word.kind == "argument":
            self._show_arguments(word)
        elif word.folder == self._folder:
            self._show(word, completion.suggest_paths(word, self._entries))
        else:
            self._close()
            self._look_into(word.folder)

    def offer(self, command: str, options: Iterable[Option]) -> None:
        """Take the arguments that :class:`OptionsWanted` asked for."""
        self._options[command] = list(options)
        word = self._word()
        if word is not None and (word.kind, word.command) == ("argument", command):
            self._show_arguments(word)

    def load_text(self, text: str) -> None:
        """Take another text, which nobody types, so that there is nothing to complete."""
        super().load_text(text)
        self.action_close_suggestions()

    def action_close_suggestions(self) -> None:
        """Offer nothing until the word changes."""
        self._close()
        self._folder = None
        self._options.clear()

    def action_suggestion(self, step: int) -> None:
        """Highlight another suggestion."""
        self._list.move(step)

    def action_complete(self) -> None:
        """Put the highlighted suggestion, or the first, in the place of the word."""
        if self._list.chosen is None:
            self._list.move(1)
        self.take_suggestion()

    def take_suggestion(self) -> Suggestion | None:
        """Put the highlighted suggestion in the place of the word, if there is one."""
        chosen, word = self._list.chosen, self._word()
        if chosen is None or word is None or word.written == chosen.text.rstrip():
            return None
        row, column = self.cursor_location
        self.replace(chosen.text, (row, word.start), (row, column), maintain_selection_offset=False)
        if not chosen.goes_on:
            self.action_close_suggestions()
        return chosen

    def on_suggestion_list_clicked(self) -> None:
        """Take what was clicked."""
        self.take_suggestion()

    def on_text_area_selection_changed(self) -> None:
        """Offer nothing for a word that the cursor has left."""
        if self.is_suggesting and self._word() is None:
            self.action_close_suggestions()

    def on_resize(self) -> None:
        """Put the list where the upper edge is now."""
        if self.is_suggesting:
            self.call_after_refresh(self.update_suggestion)

    @work(exclusive=True, group="folder")
    async def _look_into(self, folder: str) -> None:
        entries = await asyncio.to_thread(completion.list_folder, folder)
        word = self._word()
        if word is not None and (word.kind, word.folder) == ("path", folder):
            self._folder, self._entries = folder, entries
            self._show(word, completion.suggest_paths(word, entries))

    def _show_arguments(self, word: Word) -> None:
        fixed = completion.FIXED_ARGUMENTS.get(word.command)
        if fixed is not None:
            self._options[word.command] = [(name, "") for name in fixed]
        elif word.command in completion.ASKED_ARGUMENTS and word.command not in self._options:
            self._options[word.command] = ()
            self.post_message(self.OptionsWanted(word.command))
        self._show(word, completion.suggest_arguments(word, self._options.get(word.command, ())))

    def _show(self, word: Word, suggestions: Sequence[Suggestion]) -> None:
        is_done = [suggestion.text.rstrip() for suggestion in suggestions] == [word.written]
        if is_done or not suggestions:
            self._close()
            return
        was_open = self.is_suggesting
        self._list.show(suggestions, highlight=bool(word.typed))
        if not was_open:
            self.post_message(self.Toggled())

    def _close(self) -> None:
        if self.is_suggesting:
            self._list.close()
            self.post_message(self.Toggled())

    def _word(self) -> Word | None:
        """Return the word before the cursor that can be completed."""
        row, column = self.cursor_location
        line = self.document[row]
        if not self.selection.is_empty or line[column : column + 1].strip():
            return None
        is_all = self.document.line_count == 1 and column == len(line)
        return completion.word_before(line[:column], is_all=is_all)
