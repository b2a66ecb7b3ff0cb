"""Counting tokens from the other end of a pipe, in pieces that hold up no answer; torch-free."""

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Lock

from localfp4.engine.inbox import take
from localfp4.engine.protocol import CountTokens, TokensCounted
from localfp4.errors import RequestError

PIECE_CHARS = 8192
"""Characters that are counted at once: 2.5 ms with the tokenizer of the demo, less than a step."""


class Counting:
    """What was asked of one engine process and is not answered yet; for any number of threads."""

    def __init__(self, send: Callable[[CountTokens], None]) -> None:
        """Remember what sends a command."""
        self._send = send
        self._lock = Lock()
        self._next = 0
        self._has_ended = False
        self._waiting: dict[int, SimpleQueue[TokensCounted | None]] = {}

    def count(self, texts: Sequence[str]) -> list[int] | None:
        """Return the tokens of each text; ``None`` where the process has ended.

        A caller asks for one batch at a time, so that the engine works on its answers in between.

        Raises:
            RequestError: They cannot be counted.
        """
        counts = [0] * len(texts)
        for batch in batches(texts):
            answer = self._ask(tuple(piece for _, piece in batch))
            if answer is None:
                return None
            if answer.refusal:
                raise RequestError(answer.refusal)
            for (place, _), count in zip(batch, answer.counts, strict=True):
                counts[place] += count
        return counts

    def deliver(self, answer: TokensCounted) -> None:
        """Hand an answer to who asked."""
        with self._lock:
            asker = self._waiting.pop(answer.number)
        asker.put(answer)

    def end(self) -> None:
        """Tell everybody who waits that nothing will come."""
        with self._lock:
            self._has_ended = True
            bereaved = list(self._waiting.values())
            self._waiting.clear()
        for asker in bereaved:
            asker.put(None)

    def _ask(self, texts: tuple[str, ...]) -> TokensCounted | None:
        inbox: SimpleQueue[TokensCounted | None] = SimpleQueue()
        with self._lock:
            if self._has_ended:
                return None
            self._next += 1
            command = CountTokens(self._next, texts)
            self._waiting[command.number] = inbox
        self._send(command)
        return take(inbox)


def batches(texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """Yield the texts in batches of :data:`PIECE_CHARS` characters at most.

    A batch holds pieces, each with the place of the text it is of. Texts are cut before a blank
    where there is one, as few tokens reach over one: the pieces of a text have as many tokens as
    all of it, give or take one for each cut.
    """
    batch: list[tuple[int, str]] = []
    room = PIECE_CHARS
    for place, text in enumerate(texts):
        for piece in _pieces(text):
            if len(piece) > room and batch:
                yield batch
                batch, room = [], PIECE_CHARS
            batch.append((place, piece))
            room -= len(piece)
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = _cut(text, start)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(text: str, start: int) -> int:
    """Return where a piece ends: before the last blank behind a word in its second half."""
    for end in range(start + PIECE_CHARS, start + PIECE_CHARS // 2, -1):
        if text[end].isspace() and not text[end - 1].isspace():
            return end
    return start + PIECE_CHARS
