"""What a user types into a search, as conditions of SQL; nothing in it is syntax."""

import re
from dataclasses import dataclass

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: no spaces between words."""


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_MOST_WORDS = 32
_LONGEST_WORD = 1000
"""What follows is left out: a pasted page would be more than a statement of SQL may hold."""


@dataclass(frozen=True, slots=True)
class Query:
    """Words to search for.

    Attributes:
        indexed: Those that the index knows as words.
        contained: Those that are looked for as plain text: of scripts without spaces, and signs.
    """

    indexed: tuple[str, ...]
    contained: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """All of them."""
        return self.indexed + self.contained

    @property
    def match(self) -> str:
        """The operand of FTS5's ``MATCH``: every word quoted, the last one as a beginning."""
        quoted = ['"' + word.replace('"', '""') + '"' for word in self.indexed]
        if quoted and self.indexed[-1][-1].isalnum():
            quoted[-1] += " *"
        return " ".join(quoted)


def parse_query(text: str, *, has_index: bool) -> Query:
    """Split what a user typed into words.

    Args:
        text: As it was typed.
        has_index: Whether there is an index; without one, all words are looked for as text.
    """
    words = [word[:_LONGEST_WORD] for word in _NO_TEXT.sub(" ", text).split()[:_MOST_WORDS]]
    indexed = [word for word in words if has_index and _is_indexed(word)]
    return Query(tuple(indexed), tuple(word for word in words if word not in indexed))


def like(word: str) -> str:
    r"""Return the operand of ``LIKE … ESCAPE '\'`` for text that holds a word."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"


def _is_indexed(word: str) -> bool:
    return any(char.isalnum() for char in word) and not _UNSPACED.search(word)
