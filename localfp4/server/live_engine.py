"""The engine process, as the routes know it: many answers on one event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from localfp4.engine.client import EngineClient
from localfp4.errors import UserError
from localfp4.messages import LoadProgress, ModelInfo, Request, Stats
from localfp4.server.defaults import NOTHING_GIVEN, Defaults
from localfp4.server.engine import Arrived
from localfp4.server.errors import ApiError, api_error, bad_request, unavailable
from localfp4.server.keeper import EngineKeeper
from localfp4.server.mailbox import Answers, Inbox, Mailroom
from localfp4.server.settings import ServerSettings

T = TypeVar("T")

_QUESTIONS_AT_ONCE = 4
_NAP_S = 0.05


class LiveEngine:
    """An engine process that answers many clients at once; to be made on a running event loop.

    What it sends down the pipe goes through one thread: requests and their cancellations stay in
    order, and a long one does not keep the loop.
    """

    def __init__(
        self,
        client: EngineClient,
        settings: ServerSettings,
        *,
        batch: int,
        defaults: Defaults = NOTHING_GIVEN,
    ) -> None:
        """Take over a client that has not loaded yet.

        Args:
            client: Starts and speaks to the process.
            settings: How long answers may take, and how many may wait.
            batch: Answers that run together.
            defaults: What holds for requests that leave it open.
        """
        self._client = client
        self._keeper = EngineKeeper(client)
        self._defaults = defaults
        self._most = batch + settings.queue
        self._timeout_s = settings.timeout_s
        self._loop = asyncio.get_running_loop()
        self._room = Mailroom()
        self._commands = ThreadPoolExecutor(1, "localfp4-commands")
        self._questions = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, "localfp4-questions")
        self._under_way: set[Answers] = set()
        self._is_ending = False

    async def load(self, on_progress: Callable[[LoadProgress], None]) -> ModelInfo:
        """Load the model for the first time.

        Args:
            on_progress: Is told how far that is, from another thread.

        Raises:
            UserError: It cannot be loaded; the message says why.
        """
        return await self._keeper.load(on_progress)

    async def keep(self) -> None:
        """Start the engine again whenever it dies; goes on until it is cancelled."""
        await self._keeper.keep()

    async def drain(self) -> None:
        """Take no more requests, and wait until those under way have been answered."""
        self._is_ending = True
        while self._under_way:
            await asyncio.sleep(_NAP_S)

    def stop(self) -> None:
        """Take no more requests, and end those under way with an error."""
        self._is_ending = True
        for answers in self._under_way:
            answers.fail(_ending())

    async def close(self) -> None:
        """End the process within seconds."""
        self.stop()
        await asyncio.to_thread(self._keeper.close)
        self._commands.shutdown(wait=False, cancel_futures=True)
        self._questions.shutdown(wait=False, cancel_futures=True)

    def info(self) -> ModelInfo:
        """Return what is loaded.

        Raises:
            ApiError: It is loading, has ended, or is being ended; the status is 503.
        """
        if self._is_ending:
            raise _ending()
        return self._defaults.in_info(self._keeper.info())

    def stats(self) -> Stats | None:
        """Return the newest snapshot; ``None`` before the first, and of an engine that is dead."""
        return self._client.stats() if self._client.alive() else None

    @asynccontextmanager
    async def answering(
        self, requests: Sequence[Request]
    ) -> AsyncGenerator[AsyncIterator[Arrived], None]:
        """Answer requests, as :class:`localfp4.server.engine.ServedEngine` says."""
        self._admit(len(requests))
        answers = Answers(len(requests))
        self._under_way.add(answers)
        timer = self._loop.call_later(self._timeout_s, self._end_late, answers, requests)
        try:
            await self._ask(self._commands, self._submit, requests, answers)
            await answers.begun()
            yield answers.arrivals()
        finally:
            timer.cancel()
            self._under_way.discard(answers)
            self._cancel(answers, requests)

    async def encode(self, request: Request) -> list[int]:
        """Return the prompt of a request in token ids.

        Raises:
            ApiError: There is no tokenizer, or the conversation cannot be rendered.
        """
        meant = self._defaults.in_request(request)
        return await self._ask(self._questions, self._client.encode, meant)

    async def decode(self, token_ids: Sequence[int]) -> str:
        """Return what token ids spell.

        Raises:
            ApiError: There is no tokenizer, or they are outside the vocabulary.
        """
        return await self._ask(self._questions, self._client.decode, token_ids)

    async def texts(self, token_ids: Sequence[int]) -> list[str]:
        """Return what each token spells by itself.

        Raises:
            ApiError: There is no tokenizer, or they are outside the vocabulary.
        """
        return await self._ask(self._questions, self._client.texts, token_ids)

    def _admit(self, count: int) -> None:
        """Refuse what there is no room for.

        Raises:
            ApiError: The queue is full, or there is no engine.
        """
        self.info()
        if count > self._most:
            raise bad_request(f"At most {self._most} answers can be asked for at once.")
        if sum(len(answers.open) for answers in self._under_way) + count > self._most:
            raise unavailable("Too many requests are waiting already.", "queue_full", 2)

    def _submit(self, requests: Sequence[Request], answers: Answers) -> None:
        for place, request in enumerate(requests):
            meant = self._defaults.in_request(request)
            self._client.submit(meant, Inbox(self._room, answers, place))

    def _end_late(self, answers: Answers, requests: Sequence[Request]) -> None:
        self._cancel(answers, requests)
        message = f"The answer took longer than the {self._timeout_s:g} seconds that it may take."
        answers.fail(ApiError(504, message, kind="server_error", code="timeout"))

    def _cancel(self, answers: Answers, requests: Sequence[Request]) -> None:
        """Cancel those that have not ended, behind their submission and without waiting."""
        for place in sorted(answers.open):
            self._commands.submit(self._client.cancel, requests[place].id)

    async def _ask(self, threads: ThreadPoolExecutor, what: Callable[..., T], *of: object) -> T:
        try:
            return await self._loop.run_in_executor(threads, what, *of)
        except UserError as error:
            raise api_error(error) from error


def _ending() -> ApiError:
    return unavailable("The server is being ended.", "shutting_down", 5)
