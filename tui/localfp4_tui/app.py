"""The application: keys that work everywhere, the palette, and a tidy end.

Knows a backend and messages; what loads and computes lies behind the backend.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import TextArea

from localfp4.config import SamplingParams
from localfp4.text.sanitize import sanitize
from localfp4_tui.backend import Backend
from localfp4_tui.commands import COMMANDS
from localfp4_tui.history import History
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.session import ChatSession

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
        sampling: The user's settings; fields at the program's defaults are left to the model.
        system: A system prompt.
    """

    TITLE = "localfp4"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012 - as Textual declares it
    CSS_PATH: ClassVar = [
        "screens/chat.tcss",
        "screens/sheet.tcss",
        "widgets/answer.tcss",
        "widgets/load_panel.tcss",
        "widgets/notice_bar.tcss",
        "widgets/prompt_area.tcss",
        "widgets/status_line.tcss",
        "widgets/title_bar.tcss",
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
        sampling: SamplingParams | None = None,
        system: str | None = None,
    ) -> None:
        super().__init__()
        self._backend = backend
        self._session = ChatSession(
            backend, model=model, history=history, sampling=sampling, system=system
        )
        self._chat = ChatScreen(self._session)
        self._interrupted_s = float("-inf")

    def get_default_screen(self) -> Screen[None]:
        """Open the chat at once."""
        return self._chat

    async def on_unmount(self) -> None:
        """End the engine."""
        await asyncio.to_thread(self._backend.close)

    def get_key_display(self, binding: Binding) -> str:
        """Name keys as keyboards do: ``^N``, ``Esc``, ``F1``."""
        return binding.key_display or super().get_key_display(binding).title()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer every slash command in the palette, beside Textual's own theme and screenshot."""
        for command in COMMANDS:
            run = partial(self._chat.begin_command, command)
            yield SystemCommand(command.summary, command.usage, run)
        for textual_command in super().get_system_commands(screen):
            if textual_command.title in ("Theme", "Screenshot"):
                yield textual_command

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

    def _selected_text(self) -> str | None:
        if selected := self.screen.get_selected_text():
            return selected
        if isinstance(self.focused, TextArea):
            return self.focused.selected_text or None
        return None
