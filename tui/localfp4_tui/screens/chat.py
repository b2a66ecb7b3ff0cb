"""The chat: passes what the user does to the session, and what comes of it to the widgets.

The screen is put together from parts with one subject each: what it shows and how an answer comes
about in ``engine`` and ``answering``, and the actions in the modules that are named after them.
"""

from inspect import isawaitable
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from localfp4.errors import UserError
from localfp4_tui import commands
from localfp4_tui.commands import SlashCommand
from localfp4_tui.screens.branch_actions import BranchActions
from localfp4_tui.screens.compare_actions import CompareActions
from localfp4_tui.screens.file_actions import FileActions
from localfp4_tui.screens.model_actions import ModelActions
from localfp4_tui.screens.session_actions import SessionActions
from localfp4_tui.screens.setting_actions import SettingActions
from localfp4_tui.screens.telemetry_actions import TelemetryActions
from localfp4_tui.screens.token_actions import TokenActions
from localfp4_tui.screens.turn_actions import TurnActions
from localfp4_tui.widgets.prompt_area import PromptArea


class ChatScreen(
    TurnActions,
    BranchActions,
    SessionActions,
    ModelActions,
    CompareActions,
    TokenActions,
    FileActions,
    SettingActions,
    TelemetryActions,
):
    """One conversation with one model at a time, and everything that can be done with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Keys and commands", id="chat.help", priority=True),
    ]

    @on(PromptArea.Submitted)
    async def take_input(self, event: PromptArea.Submitted) -> None:
        """Run a command, or send a message."""
        self.notice.dismiss()
        if event.is_command:
            await self.run_command(event.text)
        else:
            await self.send(event.text)

    async def action_help(self) -> None:
        """Show keys and commands."""
        await self.app.run_action("show_help")

    async def begin_command(self, command: SlashCommand) -> None:
        """Run a command chosen from a list, or put it into the prompt if it needs words."""
        if command.needs_argument:
            self.prompt.restore(f"/{command.name} ")
        else:
            await self.run_command(f"/{command.name}")

    async def run_command(self, line: str) -> None:
        """Run a command as it was typed; a slip is told, and the line handed back."""
        try:
            command, argument = commands.parse(line)
            action = getattr(self, f"action_{command.action}")
            done = action(argument) if command.argument else action()
            if isawaitable(done):
                await done
        except UserError as error:
            self.notice.show(str(error), "warning")
            self.prompt.restore(line)
