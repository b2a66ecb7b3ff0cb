"""Long passages kept out of the prompt, each behind a label that stands for it; no widgets."""

import itertools
import re
from collections.abc import Iterator

from localfp4_tui.formatting import count_of

LONGEST_LINES = 10
LONGEST_CHARACTERS = 1000
"""What is longer, in lines or in characters, is folded."""


def line_count(text: str) -> int:
    """Return the number of lines; an end of line at the end begins no other."""
    return text.count("\n") + (not text.endswith("\n"))


def is_long(text: str) -> bool:
    """Say whether a passage is folded."""
    return len(text) > LONGEST_CHARACTERS or line_count(text) > LONGEST_LINES


def size_in_words(text: str) -> str:
    """Return how long a passage is: ``40 lines``, or characters where it has few lines."""
    lines = line_count(text)
    return count_of(lines, "line") if lines > LONGEST_LINES else count_of(len(text), "character")


class Folds:
    """Labels such as ``[Pasted #1 +40 lines]``, and the passages that they stand for."""

    def __init__(self) -> None:
        self._passages: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def fold(self, passage: str, name: str = "Pasted", *, size: str = "", beside: str = "") -> str:
        """Put a passage away and return its label.

        Args:
            passage: Any text.
            name: What it is called in the label.
            size: How long it is, in words, if not as a whole.
            beside: The text that the label goes into; the label does not occur in it.
        """
        size = size or size_in_words(passage)
        numbers = itertools.count(len(self._passages) + 1)
        label = next(label for n in numbers if (label := f"[{name} #{n} +{size}]") not in beside)
        self._passages[label] = passage
        longest_first = sorted(self._passages, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return label

    def fold_if_long(self, passage: str, *, beside: str = "") -> str:
        """Return a passage as it is, or its label; also where it holds what reads like a label."""
        like_a_label = self._pattern is not None and self._pattern.search(passage)
        return self.fold(passage, beside=beside) if is_long(passage) or like_a_label else passage

    def expand(self, text: str) -> str:
        """Return a text with the passages in the places of their labels."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda label: self._passages[label[0]], text)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where labels begin and end in a text."""
        if self._pattern is not None:
            yield from (label.span() for label in self._pattern.finditer(text))

    def within(self, text: str) -> list[tuple[str, str]]:
        """Return the labels in a text, each with its passage."""
        labels = [text[start:end] for start, end in self.spans(text)]
        return [(label, self._passages[label]) for label in labels]

    def without(self, text: str) -> str:
        """Return a text with blanks in the places of its labels."""
        return text if self._pattern is None else self._pattern.sub(" ", text)
