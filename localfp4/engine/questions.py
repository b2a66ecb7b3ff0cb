"""Questions to an engine process that are no requests, and who waits for the replies; torch-free."""

from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Lock

from localfp4 import errors
from localfp4.engine.counting import batches
from localfp4.engine.inbox import take
from localfp4.engine.protocol import CountTokens, Decode, Encode, Question, Refused, Replied, Reply
from localfp4.errors import EngineDiedError
from localfp4.messages import Request


class Questions:
    """What one engine process was asked and has not replied to; for any number of threads.

    Every question raises :class:`EngineDiedError` where the process ends before it has replied, and
    :class:`RequestError` where it cannot be replied to.
    """

    def __init__(self, send: Callable[[Question], None]) -> None:
        """Remember what sends a command."""
        self._send = send
        self._lock = Lock()
        self._next = 0
        self._death: str | None = None
        self._waiting: dict[int, SimpleQueue[Reply | None]] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text.

        A caller asks for one batch at a time, so that the engine works on its answers in between.
        """
        counts = [0] * len(texts)
        for batch in batches(texts):
            reply = self._ask(partial(CountTokens, texts=tuple(piece for _, piece in batch)))
            for (place, _), count in zip(batch, reply.numbers, strict=True):
                counts[place] += count
        return counts

    def encode(self, request: Request) -> list[int]:
        """Return the prompt of a request in token ids."""
        return list(self._ask(partial(Encode, request=request)).numbers)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return what token ids spell."""
        [text] = self._ask(partial(Decode, token_ids=tuple(token_ids))).texts
        return text

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        """Return what each token spells by itself."""
        return list(self._ask(partial(Decode, token_ids=tuple(token_ids), alone=True)).texts)

    def deliver(self, reply: Reply) -> None:
        """Hand a reply to who asked."""
        with self._lock:
            asker = self._waiting.pop(reply.number)
        asker.put(reply)

    def end(self, death: str) -> None:
        """Tell everybody who waits, in a sentence, why nothing will come."""
        with self._lock:
            self._death = death
            bereaved = list(self._waiting.values())
            self._waiting.clear()
        for asker in bereaved:
            asker.put(None)

    def _ask(self, numbered: Callable[[int], Question]) -> Replied:
        inbox: SimpleQueue[Reply | None] = SimpleQueue()
        with self._lock:
            if self._death is not None:
                raise EngineDiedError(self._death)
            self._next += 1
            question = numbered(self._next)
            self._waiting[question.number] = inbox
        self._send(question)
        match take(inbox):
            case Replied() as reply:
                return reply
            case Refused(_, kind, message):
                raise getattr(errors, kind)(message)
            case None:
                raise EngineDiedError(self._death)
