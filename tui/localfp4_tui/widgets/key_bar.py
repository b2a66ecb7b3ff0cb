"""The line at the foot: the keys that matter now, which can also be clicked."""

from typing import Any

from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

WRITING = {
    "app.palette": "palette",
    "chat.sessions": "sessions",
    "chat.model": "model",
    "chat.settings": "settings",
    "chat.telemetry": "figures",
    "chat.help": "keys",
}
"""Ids of bindings, and what they do in a word, while the prompt is written in."""

SELECTED = {
    "turn.copy": "copy",
    "turn.edit": "edit",
    "turn.regenerate": "again",
    "turn.continue": "go on",
    "turn.next": "other",
    "turn.diff": "diff",
    "turn.heat": "heat",
    "turn.leave": "back",
}
"""The same while a turn is selected."""


class KeyHint(Static):
    """A key and what it does; a click does it."""

    def __init__(self, word: str) -> None:
        super().__init__(markup=False)
        self._word = word
        self._active: ActiveBinding | None = None

    def show(self, active: ActiveBinding | None) -> None:
        """Show the key as it is bound now, or nothing where it does nothing."""
        self._active = active
        self.display = active is not None
        if active is not None:
            key = self.app.get_key_display(active.binding)
            self.update(Content.assemble((key, "bold $text-accent"), f" {self._word}"))

    async def on_click(self) -> None:
        """Do what the key does."""
        if self._active is not None:
            await self.app.run_action(self._active.binding.action, self._active.node)


class KeyBar(Horizontal):
    """Shows the keys for the prompt, or those for a selected turn."""

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

    def _show_keys(self, screen: Screen[Any]) -> None:
        active = {a.binding.id: a for a in reversed(screen.active_bindings.values())}
        shown = SELECTED if "turn.leave" in active else WRITING
        for id_, hint in self._hints.items():
            hint.show(active.get(id_) if id_ in shown else None)
