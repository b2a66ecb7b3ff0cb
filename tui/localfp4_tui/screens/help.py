"""The help: every key by what it belongs to, and every command; typing searches them."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from localfp4_tui.commands import SlashCommand
from localfp4_tui.keys import KeyHelp
from localfp4_tui.widgets.help_text import HelpRow, HelpText


class HelpScreen(ModalScreen[None]):
    """Shows the keys as they are bound, with the ids by which they can be rebound."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1", "dismiss", "Close the help", id="help.close"),
        Binding("up", "scroll(-1)", "Scroll up", id="help.up"),
        Binding("down", "scroll(1)", "Scroll down", id="help.down"),
        Binding("pageup", "page(-1)", "Page up", id="help.page_up", key_display="PgUp"),
        Binding("pagedown", "page(1)", "Page down", id="help.page_down", key_display="PgDn"),
    ]

    def __init__(
        self, keys: Sequence[tuple[str, list[KeyHelp]]], commands: Sequence[SlashCommand]
    ) -> None:
        super().__init__()
        self._keys = keys
        self._commands = commands

    def compose(self) -> ComposeResult:
        """Lay out the search, the keys and the commands."""
        with Vertical() as sheet:
            sheet.border_title = "Keys and commands"
            sheet.border_subtitle = "esc closes"
            yield Input(placeholder="Type to search", compact=True)
            with VerticalScroll(can_focus=False):
                yield HelpText(self._rows())

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        """Show only what holds every word that was typed."""
        self.query_one(HelpText).search(event.value)

    def action_scroll(self, direction: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=direction, animate=False)

    def action_page(self, direction: int) -> None:
        """Scroll by a page."""
        sheet = self.query_one(VerticalScroll)
        sheet.scroll_relative(y=direction * (sheet.size.height - 1), animate=False)

    def _rows(self) -> list[tuple[str, list[HelpRow]]]:
        keys = [
            (heading, [HelpRow(line.keys, line.description, line.id) for line in group])
            for heading, group in self._keys
        ]
        commands = [HelpRow(command.usage, command.summary) for command in self._commands]
        rebinding = [HelpRow("", "in the configuration file", '"chat.new" = "ctrl+b"')]
        return [*keys, ("Commands", commands), ("Other keys: [keys]", rebinding)]
