"""Token ids to text while they are generated, one at a time and in linear time.

Knows neither vocabularies nor files: :class:`localfp4.text.tokenizer.Tokenizer` makes these.
"""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

from localfp4.text.pieces import PieceDecoder

_LONGEST_CHARACTER = 4
"""Bytes in the longest character of UTF-8, and so the most tokens that it can be split into."""


class Detokenizer(Protocol):
    """The text of a growing list of tokens.

    The pieces joined are the text of the whole list. A piece never holds a part of a character;
    bytes that are no UTF-8 become U+FFFD as soon as that is certain.
    """

    def add(self, token_id: int) -> str:
        """Return the text that ``token_id`` completes, which may be empty."""

    def flush(self) -> str:
        """Return what is still held back: U+FFFD if the last character is incomplete."""


class TokenTexts(dict[int, str | bytes | None]):
    """What each token stands for after the first of a text, looked up once.

    Its text where that is made of whole characters, its bytes otherwise, and ``None`` for tokens
    that are left out.
    """

    def __init__(self, pieces: PieceDecoder, spell: Callable[[int], str | None]) -> None:
        """Make an empty table.

        Args:
            pieces: Turns a token into bytes.
            spell: Returns a token as the vocabulary spells it; ``None`` leaves it out.
        """
        super().__init__()
        self.pieces = pieces
        self._spell = spell

    def __missing__(self, token_id: int) -> str | bytes | None:
        data = self.bytes_of(token_id, first=False)
        try:
            text = None if data is None else data.decode()
        except UnicodeDecodeError:
            self[token_id] = data
            return data
        self[token_id] = text
        return text

    def bytes_of(self, token_id: int, *, first: bool) -> bytes | None:
        """Return what a token stands for; ``first`` says that it begins the text."""
        token = self._spell(token_id)
        return None if token is None else self.pieces.to_bytes(token, first=first)


class ByteDetokenizer:
    """A detokenizer for tokens that stand for bytes whatever their neighbours are."""

    def __init__(self, texts: TokenTexts, *, first: bool = True) -> None:
        """Start a text, or go on with one.

        Args:
            texts: What the tokens stand for; all texts of a vocabulary share it.
            first: Whether no token comes before.
        """
        self._texts = texts
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._first = first
        self._to_strip = texts.pieces.strip_count if first else 0
        self._is_between = not first
        """Whether no character is incomplete, and nothing of the beginning is left to treat."""

    def add(self, token_id: int) -> str:
        """Return the text that ``token_id`` completes, which may be empty."""
        text = self._texts[token_id]
        if self._is_between and type(text) is str:
            return text
        data = self._texts.bytes_of(token_id, first=self._first)
        if data is None:
            return ""
        self._first = False
        return self._decode(data)

    def flush(self) -> str:
        """Return U+FFFD if the last character is incomplete, else nothing."""
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool = False) -> str:
        text = self._strip_start(self._utf8.decode(data, final))
        incomplete, _ = self._utf8.getstate()
        self._is_between = not (incomplete or self._first or self._to_strip)
        return text

    def _strip_start(self, text: str) -> str:
        while self._to_strip and text:
            if text[0] != self._texts.pieces.strip_char:
                self._to_strip = 0
                break
            text = text[1:]
            self._to_strip -= 1
        return text


class WindowDetokenizer:
    """A detokenizer for any other tokenizer: decodes the newest tokens after the ones before.

    Each step decodes a dozen tokens at most, however long the text is.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        spell: Callable[[int], str | None],
        after: Sequence[int] = (),
    ) -> None:
        """Start a text, or go on with one.

        Args:
            decode: Returns the text of a list of tokens.
            spell: Returns ``None`` for tokens to leave out.
            after: Tokens that come before.
        """
        self._decode = decode
        self._spell = spell
        self._shown = list(after[-_LONGEST_CHARACTER:])
        self._held: list[int] = []

    def add(self, token_id: int) -> str:
        """Return the text that ``token_id`` completes, which may be empty."""
        if self._spell(token_id) is None:
            return ""
        self._held.append(token_id)
        text = self._held_text()
        if text.endswith("\ufffd") and len(self._held) < _LONGEST_CHARACTER:
            return ""
        self._shown, self._held = self._held, []
        return text

    def flush(self) -> str:
        """Return the text of the tokens still held back."""
        text = self._held_text()
        self._shown, self._held = self._shown + self._held, []
        return text

    def _held_text(self) -> str:
        return self._decode(self._shown + self._held)[len(self._decode(self._shown)) :]
