"""What one chat holds and how it changes: conversation, settings, answers; no widgets."""

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import EngineDiedError, UserError
from localfp4.history import SavedConversation, Turn
from localfp4.history.turns import Role
from localfp4.messages import ChatMessage, Finished, ModelInfo, Request
from localfp4.settings import Settings
from localfp4.text.sanitize import sanitize
from localfp4_tui.autosave import Autosave
from localfp4_tui.backend import Backend
from localfp4_tui.compacting import compaction_request
from localfp4_tui.conversation import Conversation, title_of
from localfp4_tui.engine_session import EngineSession, EngineState
from localfp4_tui.exchange import Exchange
from localfp4_tui.heat import ALTERNATIVES, Heats
from localfp4_tui.history import History
from localfp4_tui.sampling import merge
from localfp4_tui.telemetry import Telemetry
from localfp4_tui.track import Sample

__all__ = ["ChatSession", "EngineState"]


@dataclass
class _Before:
    """What an exchange that comes to nothing restores.

    Attributes:
        leaf: Where the branch ended.
        title: What the conversation was called.
        asked: The question that was added for it, or ``None``.
    """

    leaf: int | None
    title: str
    asked: int | None = None


class ChatSession(EngineSession):
    """The conversation on the screen and the engine it is held with.

    Attributes:
        history: Where conversations are kept, or ``None``.
        conversation: What is on the screen.
        exchange: The answer being written.
        unsent: What waits to be sent; kept as a turn without an answer until it is.
        finished: Figures of the last complete answer of this conversation.
        context_tokens: Length of the conversation in tokens, as far as known.
        heats: How probable the tokens of answers were, where that was recorded.
        records_heat: Whether it is recorded for the answers to come.
        overrides: Sampling fields that the user has set over the model's own.
        thinking: Whether the model reasons before it answers; ``None`` leaves it to the model.
        reasoning_effort: How much it reasons, for models that can be told.
        autosave: Keeps the conversation.
        telemetry: What was seen of the engine and its device.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        model: str,
        history: History | None,
        settings: Settings,
        resume: SavedConversation | None = None,
    ) -> None:
        super().__init__(backend, model)
        self.history = history
        self.conversation = (
            Conversation.resumed(resume)
            if resume is not None
            else Conversation(sanitize(settings.system or "") or None)
        )
        self.exchange: Exchange | None = None
        self.unsent = ""
        self.finished: Finished | None = None
        self.context_tokens = 0
        self.heats = Heats()
        self.records_heat = False
        self.overrides: dict[str, Any] = dict(settings.sampling)
        self.thinking = settings.thinking
        self.reasoning_effort = settings.reasoning_effort
        self.autosave = Autosave(history)
        self.telemetry = Telemetry()
        self._request_numbers = itertools.count(1)
        self._before = _Before(None, "")
        self._kept: Exchange | None = None
        self._counted: tuple[ChatMessage, ...] = ()
        self._saving = asyncio.Lock()

    @property
    def sampling(self) -> SamplingParams:
        """The model's own defaults with the user's settings in their place."""
        return merge(self.info.sampling if self.info else SamplingParams(), self.overrides)

    async def look(self) -> None:
        """Take a snapshot of the engine.

        Raises:
            EngineDiedError: It ended while nothing was asked of it; otherwise the exchange
                under way raises.
        """
        was_ready = self.state is EngineState.READY
        try:
            await super().look()
        except EngineDiedError as error:
            if self.exchange is None:
                raise
            self.exchange.abandon(error)
        # A look that began while a model was loaded shows less than what that holds.
        is_ready = was_ready and self.state is EngineState.READY
        self._keep_sight(self.info if is_ready else None)

    def ask(self, text: str, *, instead_of: int | None = None) -> Exchange:
        """Add a user turn and put the conversation to the engine.

        Args:
            text: What the user says.
            instead_of: A turn of the user that the new one stands beside; ``None`` adds it after
                the leaf.
        """
        before = self._note_before()
        if instead_of is not None:
            self.conversation.end_at(self.conversation.turn(instead_of).parent)
        before.asked = self.conversation.add("user", text).id
        self._give_title()
        return self._begin_answer()

    def ask_again(self, question: int) -> Exchange:
        """Ask for another answer to a turn, beside those that it has."""
        self._note_before()
        self.conversation.end_at(question)
        return self._begin_answer()

    def go_on(self) -> Exchange:
        """Have the newest turn, an answer, gone on with."""
        self._note_before()
        return self._begin(self.conversation.branch[-1], self._request(continues=True))

    def compact(self) -> Exchange:
        """Ask the model for a summary of the branch, which is to follow it."""
        self._note_before()
        request = compaction_request(self._request())
        self.exchange = Exchange(self.backend, request, self._draft("summary"))
        return self.exchange

    def keep(self, exchange: Exchange) -> Turn | None:
        """Take what came of an exchange into the conversation, be it part of an answer.

        Where nothing came, the turns are as they were before, and ``None`` is returned.
        The exchange counts as under way until :meth:`release`, so that it can be saved and shown.
        """
        self._kept = exchange
        turn = exchange.outcome()
        if exchange.is_in_vain:
            self._restore(with_question=False)
            return None
        if turn.role == "summary":
            self.context_tokens = turn.output_tokens
        else:
            self.context_tokens = exchange.context_tokens
            self.finished = exchange.finished
        self.heats.keep(turn.id, exchange.turn.content, exchange.heat)
        kept = self.conversation.put(turn)
        self._counted = self.conversation.messages()
        return kept

    def release(self) -> None:
        """Be done with the exchange that was kept; the next one may begin."""
        self.exchange = None

    async def put_away(self) -> None:
        """Stop the answer under way, keep what there is of it and the question, and save.

        What waits to be sent becomes a turn without an answer.

        Raises:
            UserError: It could not be saved.
        """
        exchange, self.exchange = self.exchange, None
        if exchange is not None and exchange is not self._kept:
            with suppress(UserError):  # an engine that died needs no stopping
                await exchange.stop()
            turn = exchange.outcome()
            if exchange.is_in_vain:
                self._restore(with_question=True)
            else:
                self.conversation.put(turn)
        unsent, self.unsent = self.unsent, ""
        if unsent:
            self.conversation.add("user", unsent)
            self._give_title()
        await self.save()

    async def save(self) -> None:
        """Keep the conversation as it is, with what waits to be sent.

        Raises:
            UserError: It could not be saved. Raised once, until it works again.
        """
        async with self._saving:  # an older state is not to be written over a newer one
            await self.autosave.save(self.conversation, self.model, self._to_come())

    def begin_conversation(self, conversation: Conversation | None = None) -> None:
        """Put a conversation in the place of the present one.

        Args:
            conversation: What to go on with; ``None`` starts with no turns and the same system
                prompt.
        """
        self.conversation = conversation or Conversation(self.conversation.system)
        self.heats.clear()
        self.finished = None
        self.context_tokens = 0

    async def count_context(self) -> None:
        """Count the tokens of the branch, which no request has told since it was changed.

        What a chat template adds is not counted; the next request tells that too. What is known of
        the same branch stays where an engine that has died cannot count it again.
        """
        messages = self.conversation.messages()
        texts = [message["content"] for message in messages]
        if messages != self._counted:
            self.context_tokens, self._counted = 0, messages
        if not texts or self.state is not EngineState.READY:
            return
        with suppress(UserError):  # an engine that died is told of elsewhere
            counts = await asyncio.to_thread(self.backend.count_tokens, texts)
            if self.exchange is None and self.conversation.messages() == messages:
                self.context_tokens = sum(counts)

    def _keep_sight(self, info: ModelInfo | None) -> None:
        """Add what was seen just now of a loaded model, or of none, to the telemetry."""
        stats, exchange = self.stats, self.exchange
        writes = exchange is not None and stats is not None and stats.phase == "decode"
        sample = Sample(
            at_s=monotonic(),
            tokens_per_s=stats.tokens_per_s if stats is not None and writes else 0.0,
            context_tokens=exchange.context_tokens if exchange else self.context_tokens,
            gauges=self.gauges,
        )
        self.telemetry.add(sample, info)

    def _to_come(self) -> list[Turn]:
        """Return what waits to be sent as a turn, after the answer that is being written."""
        if not self.unsent:
            return []
        exchange, conversation = self.exchange, self.conversation
        turns = []
        after = conversation.leaf
        if exchange is not None and exchange is not self._kept and exchange.turn.role != "summary":
            after = exchange.turn.id
            if after not in conversation:
                turns.append(exchange.turn)
        newest = max((turn.id for turn in [*conversation.all_turns, *turns]), default=0)
        return [*turns, Turn(newest + 1, after, "user", self.unsent)]

    def _request(self, *, continues: bool = False) -> Request:
        sampling = self.sampling
        if self.records_heat:
            sampling = replace(sampling, logprobs=ALTERNATIVES)
        return Request(
            id=f"chat-{next(self._request_numbers)}",
            messages=self.conversation.messages(),
            sampling=sampling,
            trim=True,
            thinking=self.thinking,
            reasoning_effort=self.reasoning_effort,
            continues=continues,
        )

    def _draft(self, role: Role) -> Turn:
        return self.conversation.draft(role, model=self.model)

    def _begin_answer(self) -> Exchange:
        return self._begin(self._draft("assistant"), self._request())

    def _begin(self, turn: Turn, request: Request) -> Exchange:
        grow = partial(self.autosave.grow, self.conversation, turn)
        self.exchange = Exchange(self.backend, request, turn, grow)
        return self.exchange

    def _give_title(self) -> None:
        """Name a conversation without a name by how it begins."""
        conversation = self.conversation
        conversation.title = conversation.title or title_of(conversation.branch[0].content)

    def _note_before(self) -> "_Before":
        self._before = _Before(self.conversation.leaf, self.conversation.title)
        return self._before

    def _restore(self, *, with_question: bool) -> None:
        """Make the turns what they were before the exchange, with or without its question."""
        before = self._before
        if before.asked is not None and with_question:
            return
        if before.asked is not None:
            if self.conversation.title == title_of(self.conversation.turn(before.asked).content):
                self.conversation.title = before.title
            self.conversation.remove(before.asked)
        self.conversation.end_at(before.leaf)
