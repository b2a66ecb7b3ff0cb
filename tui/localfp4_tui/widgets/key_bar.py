"""The line at the foot: the keys that matter now, which can also be clicked."""

from typing import Any

from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

WRITING = {
    "chat.help": "keys",
    "app.palette": "palette",
    "chat.sessions": "sessions",
    "chat.model": "model",
    "chat.settings": "settings",
    "chat.telemetry": "figures",
}
"""Ids of bindings, the most important first, and what they do in a word, while one writes."""

SELECTED = {
    "chat.help": "keys",
    "turn.leave": "back",
    "turn.copy": "copy",
    "turn.edit": "edit",
    "turn.regenerate": "again",
    "turn.continue": "go on",
    "turn.next": "other",
    "turn.diff": "diff",
    "turn.heat": "heat",
}
"""The same while a turn is selected."""

GAP = 2
"""Cells between two keys, as in the style sheet."""


class KeyHint(Static):
    """A key and what it does; a click does it.

    Attributes:
        cells: How wide it is.
    """

    def __init__(self, word: str) -> None:
        super().__init__(markup=False)
        self._word = word
        self._active: ActiveBinding | None = None
        self.cells = 0

    def show(self, active: ActiveBinding | None) -> None:
        """Show the key as it is bound now, or nothing where it does nothing."""
        self._active = active
        self.display = active is not None
        if active is not None:
            key = self.app.get_key_display(active.binding)
            content = Content.assemble((key, "bold $text-accent"), f" {self._word}")
            self.cells = content.cell_length
            self.update(content)

    async def on_click(self) -> None:
        """Do what the key does."""
        if self._active is not None:
            await self.app.run_action(self._active.binding.action, self._active.node)


class KeyBar(Horizontal):
    """Shows the keys for the prompt, or those for a selected turn, as many as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self._hints = {id_: KeyHint(word) for id_, word in {**WRITING, **SELECTED}.items()}

    def compose(self) -> ComposeResult:
        """Lay out the keys of both."""
        yield from self._hints.values()

    def on_mount(self) -> None:
        """Follow what is bound."""
        self.screen.bindings_updated_signal.subscribe(self, self._show_keys, immediate=True)
        self._show_keys(self.screen)

    def on_resize(self) -> None:
        """Choose anew which keys fit."""
        self._show_keys(self.screen)

    def _show_keys(self, screen: Screen[Any]) -> None:
        active = {a.binding.id: a for a in reversed(screen.active_bindings.values())}
        shown = SELECTED if "turn.leave" in active else WRITING
        room = self.size.width
        for id_, hint in self._hints.items():
            hint.show(active.get(id_) if id_ in shown else None)
            if hint.display:
                hint.display = hint.cells <= room
                room -= hint.cells + GAP
