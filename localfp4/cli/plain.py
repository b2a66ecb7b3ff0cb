"""A chat in plain lines, for pipes, dumb terminals and screen readers.

A line is a question, or, typed at a terminal, a command if it begins with a slash. Errors of a
turn are told and the chat goes on with the next line. Ctrl-C stops an answer; while none is
coming, it ends the chat.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from localfp4.cli import EXIT_INTERRUPTED
from localfp4.cli.failure import complain, remark
from localfp4.cli.keeping import Keeping
from localfp4.cli.plain_answer import PlainAnswer
from localfp4.cli.progress import load_visibly
from localfp4.cli.prompt import well_formed
from localfp4.errors import UserError
from localfp4.messages import ChatMessage, Event, Request
from localfp4_tui.conversation import Conversation

if TYPE_CHECKING:
    from localfp4.backend.local import LocalBackend
    from localfp4.backend.remote import RemoteBackend
    from localfp4.history import SavedConversation, SqliteHistory

EXIT = "/exit"
COMMANDS = {
    EXIT: "leave",
    "/new": "start a new chat",
    "/regen": "answer the last question again",
    "/system": "set the system prompt to the text after it, or remove it",
    "/help": "list these commands",
}


class PlainChat:
    """One conversation over standard input and output.

    Args:
        backend: The engine, or a server.
        model: What the user asked for.
        history: Where to keep the conversation, or ``None``.
        system: A system prompt; ``None`` leaves that of ``resumed``.
        resumed: A conversation to go on with.
    """

    def __init__(
        self,
        backend: "LocalBackend | RemoteBackend",
        *,
        model: str,
        history: "SqliteHistory | None",
        system: str | None,
        resumed: "SavedConversation | None" = None,
    ) -> None:
        self._backend = backend
        self._model = model
        self._keeping = Keeping(history, model)
        self._conversation = _conversation(system, resumed)
        self._ids = (f"line-{number}" for number in itertools.count(1))

    def run(self) -> int:
        """Talk until the input ends.

        Returns:
            0; when nobody types, 2 if the last turn failed and 130 if it was interrupted.

        Raises:
            UserError: The model cannot be loaded.
        """
        load_visibly(self._backend.load())
        for note in self._backend.info().notes:
            remark(note)
        code = 0
        while (line := self._read_line()) and line.strip() != EXIT:
            if line.startswith("/") and _is_typed():
                self._run_command(line)
            elif line.strip():
                code = self._ask(line.strip())
        return 0 if _is_typed() else code or 2 * self._keeping.has_failed

    def _read_line(self) -> str:
        if _is_typed():
            click.echo("> ", nl=False)
        return sys.stdin.readline()

    def _run_command(self, line: str) -> None:
        name, _, text = line.strip().partition(" ")
        conversation = self._conversation
        if name == "/new":
            self._conversation = Conversation(conversation.system)
            remark("this is a new chat.")
        elif name == "/system":
            conversation.system = well_formed(text.strip()) or None
            remark("the system prompt is set." if text.strip() else "there is no system prompt.")
        elif name == "/regen":
            self._answer_again()
        elif name == "/help":
            for command, summary in COMMANDS.items():
                click.echo(f"{command:<8} {summary}", err=True)
        else:
            complain(f"There is no command {name}; there are {' '.join(COMMANDS)}.")

    def _ask(self, question: str) -> int:
        conversation = self._conversation
        leaf = conversation.leaf
        asked = conversation.add("user", well_formed(question))
        has_answer, code = self._answer()
        if not has_answer:
            conversation.remove(asked.id)
            conversation.end_at(leaf)
        self._keeping.save(conversation)
        return code

    def _answer_again(self) -> None:
        conversation = self._conversation
        if not conversation.is_answered:
            complain("There is no answer yet to write again.")
            return
        leaf = conversation.leaf
        conversation.end_at(conversation.branch[-1].parent)
        has_answer, _ = self._answer()
        if not has_answer:
            conversation.end_at(leaf)
        self._keeping.save(conversation)

    def _answer(self) -> tuple[bool, int]:
        """Print and keep an answer as it comes; return whether there is one, and an exit code."""
        conversation = self._conversation
        messages = conversation.messages()
        turn = conversation.draft("assistant", model=self._model)
        self._keeping.save(conversation)
        answer = PlainAnswer(tells_thinking=_is_typed())
        trouble: UserError | None = None
        code = 0
        try:
            for event in self._events(messages):
                # Kept before it is shown: an interruption between the two loses nothing read.
                text, thought = answer.take(event)
                if text or thought:
                    self._keeping.extend(conversation, turn, text, thought)
                click.echo(text, nl=False)
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except UserError as error:
            trouble = error
        turn = replace(turn, **answer.facts)
        if turn.content or trouble is None:
            click.echo()
        if trouble is not None:
            complain(str(trouble))
            code = 2
        if turn.content:
            conversation.put(turn)
        return bool(turn.content), code

    def _events(self, messages: tuple[ChatMessage, ...]) -> Iterator[Event]:
        """Put the conversation to the engine, starting a dead one anew; yield what it says."""
        if not self._backend.alive():
            load_visibly(self._backend.load())
        sampling = self._backend.info().sampling
        request = Request(next(self._ids), messages=messages, sampling=sampling, trim=True)
        yield from self._backend.stream(request)


def _conversation(system: str | None, resumed: "SavedConversation | None") -> Conversation:
    conversation = Conversation.resumed(resumed) if resumed else Conversation()
    if system:
        conversation.system = well_formed(system)
    return conversation


def _is_typed() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
