"""A text cut into sequences that a model reads, and which of their tokens count."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from localfp4.errors import EvaluationError
from localfp4.evaluate.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Window:
    """A sequence that is read at once.

    Attributes:
        ids: Token ids, the start token in front where the model has one.
        first: Place in ``ids`` of the first token that counts, at least 1: what stands before it is
            only read.
        start: Place of that token in the text.
    """

    ids: tuple[int, ...]
    first: int
    start: int

    @property
    def targets(self) -> tuple[int, ...]:
        """The tokens that count."""
        return self.ids[self.first :]

    def predictions(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the rows ``[targets, V]`` of logits ``[T, V]`` that foretell the targets."""
        return logits[self.first - 1 : len(self.ids) - 1]


@dataclass(frozen=True, slots=True)
class WindowedText:
    """A text to evaluate on.

    Attributes:
        name: What figures call it.
        windows: At least one.
    """

    name: str
    windows: tuple[Window, ...]

    @property
    def counted(self) -> int:
        """How many tokens count."""
        return sum(len(window.targets) for window in self.windows)

    def in_words(self) -> str:
        """Say what was read, for a report."""
        longest = max(len(window.ids) for window in self.windows)
        return (
            f"{self.name}: {self.counted:,} tokens in windows of {longest:,}; "
            "perplexities are per token."
        )


def windowed_text(
    scorer: Scorer,
    name: str,
    text: str,
    length: int = 2048,
    tokens: int | None = None,
    stride: int | None = None,
) -> WindowedText:
    """Return the windows of a text as a model's tokenizer makes them.

    Args:
        scorer: The model; windows are no longer than its context.
        name: What to call the text.
        text: The text.
        length: Tokens of a window, the start token among them.
        tokens: How many of the text's tokens to take; ``None`` takes all.
        stride: See :func:`cut`.

    Raises:
        EvaluationError: The text or the windows are too short.
    """
    ids = scorer.encode(text)[:tokens]
    length = min(length, scorer.context_tokens)
    return WindowedText(name, cut(ids, length, scorer.start_token, stride, name))


def require_same_tokens(name: str, text: WindowedText, reference: WindowedText) -> None:
    """Refuse a model whose tokenizer reads a text otherwise than its reference's.

    Raises:
        EvaluationError: It does, so that no token of one stands for a token of the other.
    """
    if text.windows != reference.windows:
        raise EvaluationError(
            f"{name} makes other tokens of {text.name} than its reference does; compare models "
            "with the same tokenizer and context."
        )


def cut(
    ids: Sequence[int],
    length: int,
    start_token: int | None = None,
    stride: int | None = None,
    name: str = "the text",
) -> tuple[Window, ...]:
    """Cut a text into windows in which each of its tokens counts once.

    Windows that do not overlap are what perplexities in papers on quantisation are of. A stride
    that is shorter gives every token after the first window at least ``length - stride`` tokens
    before it, for ``length / stride`` times the work.

    Args:
        ids: Tokens of the text, without special ones.
        length: Tokens of a window, the start token among them.
        start_token: What each window begins with; without one its first token cannot count.
        stride: Tokens that count in each window but the first; ``None`` cuts windows that do not
            overlap.
        name: Of the text, for errors.

    Raises:
        EvaluationError: No token would count.
    """
    begin = () if start_token is None else (start_token,)
    room = length - len(begin)
    stride = room if stride is None else stride
    if length < 2 or not 1 <= stride <= room:
        raise EvaluationError(
            f"Windows of {length} tokens that advance by {stride} foretell nothing; take at least "
            "2 tokens, and a stride that is no longer than the window."
        )
    windows = tuple(_windows(ids, begin, room, stride))
    if not windows:
        raise EvaluationError(
            f"{name} has {len(ids)} tokens, which is too short to foretell any of; take a longer one."
        )
    return windows


def _windows(
    ids: Sequence[int], begin: tuple[int, ...], room: int, stride: int
) -> Iterator[Window]:
    known = 0
    while known < len(ids):
        stop = min(room if known == 0 else known + stride, len(ids))
        at = max(0, stop - room) if stride < room else known
        read = (*begin, *ids[at:stop])
        first = max(len(begin) + known - at, 1)
        if first < len(read):
            yield Window(read, first, at + first - len(begin))
        known = stop
