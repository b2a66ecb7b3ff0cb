"""What is done with whole conversations: begun, gone on with, named, written to a file."""

import asyncio
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType

from localfp4.errors import UserError
from localfp4_tui.conversation import Conversation, title_of
from localfp4_tui.exporting import export, parse_export
from localfp4_tui.keys import key_name
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.sessions import Found, SessionsScreen
from localfp4_tui.session import ChatSession


class SessionActions(AnsweringScreen):
    """Actions on whole conversations."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "new_chat", "New chat", id="chat.new", priority=True),
        Binding("ctrl+s", "sessions", "Earlier chats", id="chat.sessions", priority=True),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self._is_told_at_start = False

    @on(AnsweringScreen.Ready)
    def tell_resumed_at_start(self) -> None:
        """Tell of the conversation that the program was started with, once there is a model."""
        if not self._is_told_at_start:
            self._is_told_at_start = True
            self._tell_resumed()

    async def action_new_chat(self) -> None:
        """Put this conversation away and begin another."""
        await self.take_back_waiting()
        await self._open(None)

    def action_sessions(self, words: str = "") -> None:
        """Show the conversations that are kept, to go on with one."""
        if self.session.history is None:
            self.notice.show("No chats are kept: this one runs with --ephemeral.")
        else:
            screen = SessionsScreen(self.session.history, self.session.conversation, words)
            self.app.push_screen(screen, self._take_found)

    def _take_found(self, found: Found | None) -> None:
        self.show_state()  # the conversation may have another name by now
        if found is not None:
            self._resume(found)

    @work(exclusive=True, group="resume")
    async def _resume(self, found: Found) -> None:
        """Put a conversation that is kept in the place of the present one."""
        history, present = self.session.history, self.session.conversation
        if history is None:
            return
        conversation = present
        if found.conversation != present.saved_as:
            try:
                saved = await asyncio.to_thread(history.load, found.conversation)
            except UserError as error:
                self.notice.show(str(error), "warning")
                return
            conversation = Conversation.resumed(saved)
            await self.take_back_waiting()
            await self._open(conversation)
            self._tell_resumed()
        if found.turn is not None and not self.is_busy:
            await self._show_turn(conversation, found.turn)

    async def _open(self, conversation: Conversation | None) -> None:
        self.notice.dismiss()
        await self.put_away()
        self.session.begin_conversation(conversation)
        self._dropped_turns = 0
        await self.show_branch()
        self.count_context()

    async def _show_turn(self, conversation: Conversation, turn: int) -> None:
        """Select a turn that a search has found, on whichever branch it is."""
        if turn not in conversation:
            self.notice.show(
                "That was said in another window; begin another chat, and open this one again.",
                "warning",
            )
            return
        if turn not in {shown.id for shown in conversation.branch}:
            conversation.switch(turn)
            await self.show_branch()
            self.count_context()
        self.transcript.select(turn)

    async def action_title(self, text: str = "") -> None:
        """Name this conversation, or tell its name."""
        conversation = self.session.conversation
        if text:
            conversation.title = title_of(text)
            self.show_state()
            await self.save()
        elif conversation.title:
            self.notice.show(f"This chat is called “{conversation.title}”.")
        else:
            self.notice.show("This chat has no name yet; /title TEXT gives it one.")

    async def action_export(self, text: str = "") -> None:
        """Write this conversation to a file."""
        format_, path = parse_export(text)
        conversation = self.session.conversation.kept(self.session.model)
        written = await asyncio.to_thread(export, conversation, format_, path)
        self.notice.show(f"This chat was written to {written}.")

    def _tell_resumed(self) -> None:
        """Tell what there is to know of a conversation that is gone on with."""
        conversation, model = self.session.conversation, self.session.model
        answer, branch = conversation.last("assistant"), conversation.branch
        told = []
        if answer is not None and answer.model not in ("", model):
            told.append(f"{answer.model} answered so far; {model} goes on.")
        if branch and branch[-1].role == "user":
            key = key_name(self, "chat.regenerate")
            told.append(f"The last message has no answer yet; {key} asks for one.")
        if told:
            self.notice.show(" ".join(told))
