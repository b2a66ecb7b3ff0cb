"""Asking two precisions or models the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from localfp4.errors import RequestError
from localfp4.history import Turn
from localfp4.messages import ChatMessage, Request
from localfp4.reports import Choice
from localfp4_tui.compare_choices import describe, parse_choices
from localfp4_tui.comparison import Side
from localfp4_tui.conversation import Conversation
from localfp4_tui.formatting import one_line
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.compare import CompareScreen
from localfp4_tui.session import EngineState


class CompareActions(AnsweringScreen):
    """Actions on comparisons."""

    async def action_compare(self, text: str = "") -> None:
        """Ask the last question again, of two precisions or models in turn.

        Raises:
            UserError: What was typed does not name two sides that are on this computer.
        """
        session = self.session
        question = session.conversation.last("user")
        if question is None:
            self.notice.show("There is no question yet to compare the answers to; ask one first.")
            return
        self._require_free()
        before = session.backend.choice()
        choices = await asyncio.to_thread(self._found, parse_choices(text, before), before)
        self._require_free()  # keys work while headers are read
        session.state = EngineState.LOADING  # nothing else is asked meanwhile
        self.show_state()
        self.app.push_screen(
            CompareScreen(
                session.backend, self._request(question), choices, question=question.content
            ),
            partial(self._end_comparison, before, session.conversation, question),
        )

    def _require_free(self) -> None:
        """Refuse while something else is asked of the engine.

        Raises:
            RequestError: It is.
        """
        if self.is_busy:
            raise RequestError("An answer is being written; stop it first.")
        if self.session.state is not EngineState.READY:
            raise RequestError("The model is not ready.")

    def _found(self, choices: Sequence[Choice], before: Choice) -> list[Choice]:
        """Return choices with aliases resolved, all of them on this computer.

        Raises:
            UserError: One is not, or cannot be run.
        """
        backend = self.session.backend
        if all(choice.model == before.model for choice in choices):
            return list(choices)
        names = {e.alias.lower(): e.name for e in backend.models() if e.alias}
        found = [replace(c, model=names.get(c.model.lower(), c.model)) for c in choices]
        for choice in found:
            if choice.model != before.model:
                backend.describe(choice.model)
        return found

    def _request(self, question: Turn) -> Request:
        session = self.session
        return Request(
            id=f"compare-{uuid4().hex}",
            messages=_messages_up_to(session.conversation, question),
            sampling=session.sampling,
            trim=True,
            thinking=session.thinking,
            reasoning_effort=session.reasoning_effort,
        )

    async def _end_comparison(
        self, before: Choice, conversation: Conversation, question: Turn, kept: Side | None
    ) -> None:
        """Put the engine back to what it was, and keep an answer that was chosen."""
        session = self.session
        if session.backend.choice() == before and await asyncio.to_thread(session.backend.alive):
            session.info = await asyncio.to_thread(session.backend.info)
            session.state = EngineState.READY
            self.post_message(self.Ready())
        else:
            self.load_model(before)
        if kept is not None:
            await self._keep(kept, conversation, question)
        self.show_state()

    async def _keep(self, side: Side, conversation: Conversation, question: Turn) -> None:
        """Make a side's answer one more answer to the question."""
        kept = one_line(describe(side.choice))
        if conversation is not self.session.conversation:
            self.notice.show(f"Another chat is open now, so the answer of {kept} was not kept.")
            return
        conversation.end_at(question.id)
        conversation.put(replace(conversation.draft("assistant"), **_facts(side)))
        await self.show_branch()
        self.count_context()
        await self.save()
        self.notice.show(f"The answer of {kept} stands beside the one there was.")


def _messages_up_to(conversation: Conversation, question: Turn) -> tuple[ChatMessage, ...]:
    """Return what the model got when a question was asked."""
    leaf = conversation.leaf
    conversation.end_at(question.id)
    messages = conversation.messages()
    conversation.end_at(leaf)
    return messages


def _facts(side: Side) -> dict[str, Any]:
    """Return the fields of the turn that a side's answer becomes."""
    finished = side.finished
    return {
        "content": side.said.text,
        "reasoning": side.said.thought,
        "model": describe(side.choice),
        "finish": finished.reason if finished else None,
        "thinking_tokens": side.thinking_tokens,
        "output_tokens": finished.output_tokens if finished else len(side.said.tokens),
        "tokens_per_s": finished.decode_tokens_per_s if finished else 0.0,
        "ttft_s": finished.ttft_s if finished else 0.0,
    }
