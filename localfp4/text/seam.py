"""Where an answer that is gone on with ends in a prompt, found by a character that marks its end.

A template is shown the answer with one private-use character after its text; what it writes from
there on, which ends the answer, is cut off. Templates that strip an answer do not strip that
character, and so leave the blanks before it, which are part of what is gone on with.
"""

from collections.abc import Mapping
from typing import Any

from localfp4.text.marking import MarkedText, strings_in

_FIRST, _LAST = 0xF0000, 0xFFFFD
"""Unicode's Supplementary Private Use Area A; marked characters are of the other one."""
_THOUGHTS = ("reasoning_content", "thinking")


class Seam:
    """The end of the last message of a conversation."""

    def __init__(self, variables: Mapping[str, Any], source: str) -> None:
        """Find out what is gone on with: the thoughts of an answer that has not begun to speak.

        Args:
            variables: What the template would be rendered with; its last message is an answer.
            source: The template.
        """
        taken = set[str]().union(*map(set, strings_in([variables, source])))
        self._mark = next(chr(code) for code in range(_FIRST, _LAST) if chr(code) not in taken)
        last = variables["messages"][-1]
        self._fields = ("content",) if last["content"] else _THOUGHTS
        self._text = last[self._fields[0]].lstrip()

    def mark(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables with the end marked, and no new answer begun."""
        *earlier, last = variables["messages"]
        marked = last | {field: f"{last[field]}{self._mark}" for field in self._fields}
        return {**variables, "messages": [*earlier, marked], "add_generation_prompt": False}

    def cut(self, prompt: MarkedText) -> MarkedText | None:
        """Return a rendered prompt up to the end; ``None`` where the answer does not stand there.

        Blanks before it do not count: templates strip them.
        """
        end = prompt.text.rfind(self._mark)
        text = prompt.text[:end]
        if end < 0 or not text.endswith(self._text):
            return None
        return MarkedText(text, frozenset(place for place in prompt.places if place < end))
