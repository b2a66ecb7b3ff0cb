"""Finds stop strings in streamed text; knows nothing of tokens."""

from collections import deque
from collections.abc import Iterable


class StopStrings:
    """Passes text on up to the first stop string, whatever pieces it comes in.

    The stop string that is complete first wins; of several that end at one character, the
    longest. Text is held back only while it could be the beginning of a stop string, so never
    more than the longest of them less one character.

    An Aho-Corasick automaton: each character costs constant time on average, however many stop
    strings there are.

    Attributes:
        found: The stop string that won; ``None`` before there is one.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        """Prepare to look for ``stops``, which are not empty strings."""
        self.found: str | None = None
        self._children: list[dict[str, int]] = [{}]
        self._depth = [0]
        self._match_length = [0]
        for stop in stops:
            self._insert(stop)
        self._fallback = self._link()
        self._state = 0
        self._held = ""

    def add(self, text: str) -> tuple[str, bool]:
        """Take the next piece of text.

        Returns:
            The text that is certainly before any stop string, and whether one was found. Once
            it was, all further text is dropped.
        """
        if self.found is not None:
            return "", True
        window = self._held + text
        for index, char in enumerate(text, start=len(self._held) + 1):
            self._state = self._next(self._state, char)
            if length := self._match_length[self._state]:
                self.found, self._held = window[index - length : index], ""
                return window[: index - length], True
        safe = len(window) - self._depth[self._state]
        self._held = window[safe:]
        return window[:safe], False

    def flush(self) -> str:
        """Return the text held back, at the end of the stream."""
        held, self._held, self._state = self._held, "", 0
        return held

    def _insert(self, stop: str) -> None:
        state = 0
        for char in stop:
            if char not in self._children[state]:
                self._children[state][char] = len(self._children)
                self._children.append({})
                self._depth.append(self._depth[state] + 1)
                self._match_length.append(0)
            state = self._children[state][char]
        self._match_length[state] = self._depth[state]

    def _link(self) -> list[int]:
        """Link each state to that of its longest proper suffix, breadth first."""
        self._fallback = [0] * len(self._children)
        queue = deque(self._children[0].values())
        while queue:
            state = queue.popleft()
            if not self._match_length[state]:
                self._match_length[state] = self._match_length[self._fallback[state]]
            for char, child in self._children[state].items():
                self._fallback[child] = self._next(self._fallback[state], char)
                queue.append(child)
        return self._fallback

    def _next(self, state: int, char: str) -> int:
        while state and char not in self._children[state]:
            state = self._fallback[state]
        return self._children[state].get(char, 0)
