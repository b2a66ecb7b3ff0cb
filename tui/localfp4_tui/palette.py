"""What the command palette offers: every command, and every key that is no command."""

from collections.abc import Iterator
from functools import partial

from textual.app import SystemCommand

from localfp4_tui.commands import COMMANDS
from localfp4_tui.keys import KeyHelp, bindings_of
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.widgets.turn_widget import TurnWidget

_LEFT_OUT = ("turn.leave", "turn.code_", "chat.help", "chat.stop")
"""Ids of what makes no sense in a list: its own keys, and what a list has taken the focus from."""


def palette_entries(chat: ChatScreen, keys: list[KeyHelp]) -> Iterator[SystemCommand]:
    """Yield what can be chosen: what it does, how else it is done, and the doing.

    Args:
        chat: The screen whose actions they are; those on turns take the newest one.
        keys: The keys as they are bound now.
    """
    shown = {line.id: line.keys for line in keys}
    bound = {
        binding.action.removeprefix("screen."): binding
        for owner in (TurnWidget, ChatScreen)
        for binding in bindings_of(owner)
    }
    for command in COMMANDS:
        binding = bound.pop(command.action, None)
        key = shown.get(str(binding.id), "") if binding else ""
        help_text = " · ".join(part for part in (f"/{command.name}", key) if part)
        yield SystemCommand(command.summary, help_text, partial(chat.begin_command, command))
    for action, binding in bound.items():
        if not str(binding.id).startswith(_LEFT_OUT):
            run = partial(chat.app.run_action, action, chat)
            yield SystemCommand(binding.description, shown.get(str(binding.id), ""), run)
