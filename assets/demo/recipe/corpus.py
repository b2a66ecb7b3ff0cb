"""Turns generated conversations into packed rows of token ids, loss weights and document numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from recipe.conversation import BROAD, Message, Mix, Talker
from recipe.facts import load_facts
from recipe.tokenizer import END, END_OF_TEXT, START

CHUNK = 2000
WAITING = 32


@dataclass(frozen=True)
class Rows:
    """Packed text: ids, 1 where the assistant speaks, and which conversation each token is of."""

    ids: np.ndarray
    spoken: np.ndarray
    document: np.ndarray

    def save(self, file: Path) -> None:
        """Write all three arrays to one file."""
        np.savez(file, ids=self.ids, spoken=self.spoken, document=self.document)

    @classmethod
    def load(cls, file: Path) -> Rows:
        """Read what `save` wrote."""
        with np.load(file) as data:
            return cls(data["ids"], data["spoken"], data["document"])


def heldout_text(seed: int, characters: int) -> str:
    """Conversations in phrasings that training never sees, one after another as chat text."""
    talker, texts, size = Talker(load_facts(), seed, held=True), [], 0
    while size < characters:
        texts.append(chat_text(talker.conversation()) + END_OF_TEXT + "\n")
        size += len(texts[-1])
    return "".join(texts)


def conversations(seed: int, long: bool = False, mix: Mix = BROAD) -> Iterator[list[Message]]:
    """Fresh conversations without end, the same for the same seed."""
    talker = Talker(load_facts(), seed, mix=mix)
    while True:
        yield talker.conversation(long and talker.rng.random() < 0.5)


def chat_text(messages: list[Message]) -> str:
    """The conversation as the chat template writes it."""
    return "".join(f"{START}{m['role']}\n{m['content']}{END}\n" for m in messages)


def pack(
    tokenizer: Tokenizer,
    source: Iterator[list[Message]],
    rows: int,
    length: int,
) -> Rows:
    """Whole conversations laid end to end, none of them cut."""
    result = Rows(
        np.full((rows, length), tokenizer.token_to_id(END_OF_TEXT), np.uint16),
        np.zeros((rows, length), np.uint8),
        np.zeros((rows, length), np.uint8),
    )
    fresh = _tokenised(tokenizer, source, length)
    waiting = [next(fresh) for _ in range(WAITING)]
    for row in range(rows):
        used = document = 0
        while (best := _largest_fitting(waiting, length - used)) is not None:
            ids, spoken = waiting[best]
            waiting[best] = next(fresh)
            document += 1
            span = slice(used, used + len(ids))
            result.ids[row, span] = ids
            result.spoken[row, span] = spoken
            result.document[row, span] = document
            used += len(ids)
    return result


def _largest_fitting(waiting: list[tuple[np.ndarray, np.ndarray]], room: int) -> int | None:
    """The first conversation while there is room for any, later the largest that still fits."""
    fitting = [i for i, (ids, _) in enumerate(waiting) if len(ids) <= room]
    if len(fitting) == len(waiting):
        return 0
    return max(fitting, key=lambda i: len(waiting[i][0]), default=None)


def _tokenised(
    tokenizer: Tokenizer, source: Iterator[list[Message]], length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    assistant = tokenizer.encode("assistant\n").ids
    stop = np.array([tokenizer.token_to_id(END_OF_TEXT)])
    while True:
        texts = [chat_text(messages) for messages in islice(source, CHUNK)]
        for encoding in tokenizer.encode_batch(texts):
            ids = np.array(encoding.ids)
            if len(ids) < length:
                yield np.append(ids, stop), np.append(_spoken(ids, start, end, assistant), 0)


def _spoken(ids: np.ndarray, start: int, end: int, assistant: list[int]) -> np.ndarray:
    """1 from after "<|im_start|>assistant" and its newline through <|im_end|>."""
    spoken = np.zeros(len(ids), np.uint8)
    for begin, stop in zip(np.flatnonzero(ids == start), np.flatnonzero(ids == end), strict=True):
        body = begin + 1 + len(assistant)
        if list(ids[begin + 1 : body]) == assistant:
            spoken[body : stop + 1] = 1
    return spoken
