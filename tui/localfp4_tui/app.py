"""The application: keys that work everywhere, the palette, and a tidy end.

Knows a backend and messages; what loads and computes lies behind the backend.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import TextArea

from localfp4.errors import RequestError, UserError
from localfp4.history import SavedConversation
from localfp4.settings import Settings, SettingsError
from localfp4.text.sanitize import sanitize
from localfp4_tui.backend import Backend
from localfp4_tui.colourless import Colourless
from localfp4_tui.commands import COMMANDS
from localfp4_tui.endings import Endings
from localfp4_tui.history import History
from localfp4_tui.key_owners import CHAINS
from localfp4_tui.keys import Chain, KeyHelp, checked_keymap, key_help
from localfp4_tui.palette import palette_entries
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.screens.help import HelpScreen
from localfp4_tui.session import ChatSession
from localfp4_tui.terminal import tolerant
from localfp4_tui.themes import DARK, NO_COLOUR, OURS, theme_name

QUIT_WITHIN_S = 3.0
"""How long after the first ^C a second one quits, and the notice of it is shown."""


class ChatApp(App[None]):
    """A chat with one model.

    The screen opens at once and the model loads behind it. ``return_code`` is 2 when the user
    leaves because the model could not be loaded, and the reason is printed then.

    Args:
        backend: The engine; closed when the app ends, which must end its streams too.
        model: What the user asked for, for the title and the history.
        history: Where conversations are kept, or ``None`` to keep nothing.
        settings: What the user wants of it: keys, colours, sampling and the rest.
        resume: A conversation to go on with.

    Raises:
        SettingsError: A key or a theme in the settings does not exist.
    """

    TITLE = "localfp4"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012 - as Textual declares it
    CSS_PATH: ClassVar = [
        "screens/bench.tcss",
        "screens/chat.tcss",
        "screens/compare.tcss",
        "screens/context.tcss",
        "screens/diff.tcss",
        "screens/fit.tcss",
        "screens/help.tcss",
        "screens/picker.tcss",
        "screens/sessions.tcss",
        "screens/settings.tcss",
        "screens/sheet.tcss",
        "screens/telemetry.tcss",
        "widgets/answer.tcss",
        "widgets/choice_row.tcss",
        "widgets/compare_side.tcss",
        "widgets/context_slider.tcss",
        "widgets/device_line.tcss",
        "widgets/document_view.tcss",
        "widgets/key_bar.tcss",
        "widgets/load_panel.tcss",
        "widgets/memory_parts.tcss",
        "widgets/notice_bar.tcss",
        "widgets/prompt_area.tcss",
        "widgets/setting_field.tcss",
        "widgets/status_line.tcss",
        "widgets/suggestion_list.tcss",
        "widgets/summary_turn.tcss",
        "widgets/thought.tcss",
        "widgets/title_bar.tcss",
        "widgets/token_detail.tcss",
        "widgets/token_heat.tcss",
        "widgets/transcript.tcss",
        "widgets/trouble_panel.tcss",
        "widgets/user_turn.tcss",
        "widgets/welcome.tcss",
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "command_palette", "Command palette", id="app.palette", priority=True),
        Binding("ctrl+c", "interrupt", "Stop; twice: quit", id="app.interrupt", priority=True),
        Binding("ctrl+q", "quit", "Quit", id="app.quit", priority=True),
    ]

    def __init__(
        self,
        backend: Backend,
        *,
        model: str,
        history: History | None,
        settings: Settings | None = None,
        resume: SavedConversation | None = None,
    ) -> None:
        super().__init__()
        settings = settings or Settings()
        self._backend = backend
        self._history = history
        self._session = ChatSession(
            backend, model=model, history=history, settings=settings, resume=resume
        )
        self._chat = ChatScreen(self._session)
        self._interrupted_s = float("-inf")
        self._chains: list[Chain] = [(ChatApp, *chain) for chain in CHAINS]
        self._chosen_keys = checked_keymap(settings.keys, self._chains, settings.path)
        self.set_keymap(self._chosen_keys)
        for theme in OURS:
            self.register_theme(theme)
        self._colourless = Colourless()
        self._endings: Endings | None = None
        self.theme = self._first_theme(settings)

    def get_driver_class(self) -> type[Driver]:
        """Read the terminal so that no byte of a paste can end the program."""
        return tolerant(super().get_driver_class())

    def get_default_screen(self) -> Screen[None]:
        """Open the chat at once."""
        return self._chat

    def on_mount(self) -> None:
        """Remember the colours that are chosen from now on, and notice when all is to end."""
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        self._endings = Endings(self._end)

    async def on_unmount(self) -> None:
        """End the engine."""
        if self._endings is not None:
            self._endings.leave()
        await asyncio.to_thread(self._backend.close)

    def get_key_display(self, binding: Binding) -> str:
        """Name keys as keyboards do: ``^N``, ``Esc``, ``F1``, but letters as they are typed."""
        shown = super().get_key_display(binding)
        named = shown if len(shown) == 1 else shown.title()
        return binding.key_display or named.replace("Pgup", "PgUp").replace("Pgdn", "PgDn")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Take the colours out of the theme that has none."""
        return [self._colourless] if self.theme == NO_COLOUR.name else super().get_line_filters()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer every command and every key in the palette, and Textual's screenshot."""
        lines = [line for _, group in self._key_help() for line in group]
        yield from palette_entries(self._chat, lines)
        for textual_command in super().get_system_commands(screen):
            if textual_command.title == "Screenshot":
                yield textual_command

    async def run_action(
        self,
        action: str | tuple[str, str, tuple[Any, ...]],
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action; what a user can mend is told in the chat.

        A warning that is shown there goes away then, unless the action is one of writing.
        """
        if self.screen is self._chat and not isinstance(default_namespace, TextArea):
            self._chat.notice.end_trouble()
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except UserError as error:
            self._chat.notice.show(str(error), "warning")
            return True

    def action_show_help(self) -> None:
        """Show all keys and commands."""
        self.push_screen(HelpScreen(self._key_help(), COMMANDS))

    async def action_interrupt(self) -> None:
        """Copy what is selected; else stop the answer, and quit when pressed again."""
        if (selected := self._selected_text()) is not None:
            self.copy_to_clipboard(selected)
            self._chat.notice.show("The selection was copied.")
        elif monotonic() - self._interrupted_s < QUIT_WITHIN_S:
            await self.action_quit()
        else:
            self._interrupted_s = monotonic()
            await self._chat.action_stop()
            self._chat.notice.show("Press ^C again to quit.", shown_s=QUIT_WITHIN_S)

    async def action_quit(self) -> None:
        """Save what there is and leave, with 2 where there was no model to talk to."""
        await self._chat.put_away()
        if (error := self._session.load_error) is not None:
            self.exit(return_code=2, message=Text(sanitize(str(error))))
        else:
            self.exit()

    def _key_help(self) -> list[tuple[str, list[KeyHelp]]]:
        return key_help(self._chains, self._chosen_keys, self.get_key_display)

    def _first_theme(self, settings: Settings) -> str:
        """Return the theme to begin with: what the settings say, or what was chosen last."""
        if self.no_color:
            return NO_COLOUR.name
        if settings.theme is not None:
            try:
                return theme_name(settings.theme, self.available_themes)
            except RequestError as error:
                raise SettingsError(f"{settings.path}, theme in [chat]: {error}") from None
        remembered = self._history.preference("theme") if self._history else None
        return remembered if remembered in self.available_themes else DARK.name

    @work(exclusive=True, group="theme")
    async def _remember_theme(self, theme: Theme) -> None:
        """Begin with these colours the next time."""
        if self._history is None or self.no_color:
            return
        try:
            await asyncio.to_thread(self._history.prefer, "theme", theme.name)
        except UserError as error:
            self._chat.notice.show(str(error), "warning")

    def _end(self, signal_number: int) -> None:
        """Put the conversation away and leave, since the terminal or the computer does."""
        self._put_away_and_exit(128 + signal_number)

    @work(exclusive=True, group="end")
    async def _put_away_and_exit(self, return_code: int) -> None:
        await self._chat.put_away()
        self.exit(return_code=return_code)

    def _selected_text(self) -> str | None:
        if selected := self.screen.get_selected_text():
            return selected
        if isinstance(self.focused, TextArea):
            return self.focused.selected_text or None
        return None
