"""What bytes a token stands for, read from the decoder of a ``tokenizer.json``.

Covers the decoders that treat each token apart from its neighbours, which are those of nearly
every language model. It does not join bytes into characters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")

_TAILS_OF_BYTE_FALLBACK = (
    (),
    ("Fuse",),
    ("Fuse", "Strip"),
    ("ByteFallback",),
    ("ByteFallback", "Fuse"),
    ("ByteFallback", "Fuse", "Strip"),
)
"""What may follow the ``Replace`` steps of a decoder in the style of Llama 2 or Gemma."""


def _byte_alphabet() -> dict[str, int]:
    """Map each character of GPT-2's byte alphabet to its byte.

    Printable Latin-1 characters stand for themselves; the other 68 bytes, in order, are the
    characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    shifted = {chr(0x100 + index): byte for index, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


_BYTE_OF = _byte_alphabet()


@dataclass(frozen=True, slots=True)
class PieceDecoder:
    """Turns tokens, as the vocabulary spells them, into bytes of UTF-8.

    Attributes:
        byte_level: Each character is a byte of GPT-2's alphabet.
        byte_fallback: ``<0xNN>`` is a byte.
        replacements: Strings and what they become, such as ``▁`` and a space.
        first_drops: A string left out of the first token of a text; empty for none.
        strip_char: The character of which ...
        strip_count: ... so many are taken off the beginning of a text.
    """

    byte_level: bool = False
    byte_fallback: bool = False
    replacements: tuple[tuple[str, str], ...] = ()
    first_drops: str = ""
    strip_char: str = " "
    strip_count: int = 0

    def to_bytes(self, token: str, *, first: bool) -> bytes:
        """Return the bytes of ``token``; ``first`` says that it begins the text."""
        if self.byte_level:
            return _from_byte_alphabet(token)
        if first and self.first_drops:
            token = token.replace(self.first_drops, "")
        for old, new in self.replacements:
            token = token.replace(old, new)
        if self.byte_fallback and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(match[1])
        return token.encode()


def piece_decoder(decoder: dict[str, Any] | None) -> PieceDecoder | None:
    """Read the ``decoder`` of a ``tokenizer.json``.

    Returns:
        ``None`` for decoders that look at neighbouring tokens, such as WordPiece's.
    """
    steps = _flatten(decoder)
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return PieceDecoder(byte_level=True)
    if kinds == ["Metaspace"]:
        return _metaspace(steps[0])
    return _byte_fallback(steps)


def _flatten(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [step for inner in decoder["decoders"] for step in _flatten(inner)]
    return [decoder]


def _metaspace(step: dict[str, Any]) -> PieceDecoder:
    mark = step["replacement"]
    drops = "" if step["prepend_scheme"] == "never" else mark
    return PieceDecoder(replacements=((mark, " "),), first_drops=drops)


def _byte_fallback(steps: Sequence[dict[str, Any]]) -> PieceDecoder | None:
    replacements = []
    for step in steps:
        if step["type"] != "Replace" or "String" not in step["pattern"]:
            break
        replacements.append((step["pattern"]["String"], step["content"]))
    tail = steps[len(replacements) :]
    kinds = tuple(step["type"] for step in tail)
    if not steps or kinds not in _TAILS_OF_BYTE_FALLBACK:
        return None
    strip: dict[str, Any] = tail[-1] if "Strip" in kinds else {}
    if strip.get("stop"):
        return None
    return PieceDecoder(
        byte_fallback="ByteFallback" in kinds,
        replacements=tuple(replacements),
        strip_char=strip.get("content", " "),
        strip_count=strip.get("start", 0),
    )


def _from_byte_alphabet(token: str) -> bytes:
    """Map ``token`` to bytes; one with any other character in it stands for itself.

    Added tokens go the same way, as in the ``tokenizers`` library: DeepSeek Coder keeps some
    bytes as added tokens such as ``ø``, and a text such as ``<think>`` stands for itself anyway.
    """
    try:
        return bytes([_BYTE_OF[char] for char in token])
    except KeyError:
        return token.encode()
