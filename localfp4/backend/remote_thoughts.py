"""Thoughts that a server leaves in the text of an answer, between tags.

Servers that do not know a model's protocol, LM Studio among them, pass on ``<think>`` as it comes.
"""

from dataclasses import dataclass

_OPENS, _CLOSES = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of an answer: what is thought, and what is said."""

    thought: str = ""
    said: str = ""


class ThoughtSplitter:
    """Takes an answer in pieces. Only tags at its very beginning count: others are quoted."""

    def __init__(self) -> None:
        self._held = ""
        self._is_open: bool | None = None
        self._is_fresh = False

    def add(self, text: str) -> Split:
        """Take the next piece, and return what is certain by now."""
        if self._is_open is None:
            text = self._begin(text)
        thought = ""
        if self._is_open:
            thought, text = self._think(text)
        if self._is_fresh and text:
            text = text.lstrip()
            self._is_fresh = not text
        return Split(thought, text)

    def end(self) -> Split:
        """Return what was held back, since it could have become a tag."""
        held, self._held = self._held, ""
        return Split(thought=held) if self._is_open else Split(said=held)

    def _begin(self, text: str) -> str:
        """Find out whether the answer begins with a thought; return what is neither tag nor held."""
        text, self._held = self._held + text, ""
        start = text.lstrip()
        if start.startswith(_OPENS):
            self._is_open = True
            return start.removeprefix(_OPENS).lstrip("\n")
        if _OPENS.startswith(start):
            self._held = text
            return ""
        self._is_open = False
        return text

    def _think(self, text: str) -> tuple[str, str]:
        """Return what of a text is thought, and what is said after it."""
        thought, tag, said = (self._held + text).partition(_CLOSES)
        self._held = ""
        if tag:
            self._is_open, self._is_fresh = False, True
            return thought, said
        kept = next(n for n in range(len(_CLOSES) - 1, -1, -1) if thought.endswith(_CLOSES[:n]))
        if kept:
            thought, self._held = thought[:-kept], thought[-kept:]
        return thought, ""
