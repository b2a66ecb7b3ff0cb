"""The tokens that a model is calibrated with."""

import random
from collections.abc import Iterable

import torch

from localfp4.checkpoint.display import shown
from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.documents import Chat, Document
from localfp4.quantize.calibration.encode import DocumentEncoder
from localfp4.quantize.calibration.sources import documents_in
from localfp4.quantize.calibration.windows import MOST_OVERLAP, gathered, least_tokens, windows
from localfp4.quantize.recipe import CalibrationSource
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

_LEAST_READ = 2**26
_READ_PER_TOKEN = 16
"""Characters of a source that documents are chosen from."""


def calibration_tokens(
    source: CalibrationSource, tokenizer: Tokenizer, template: ChatTemplate | None, context: int
) -> torch.Tensor:
    """Return windows of calibration text.

    Documents are taken in an order that the seed decides, one after the other, until all windows
    are full; conversations are written by the model's template, or as plain text where it has none.
    A text that is shorter gives windows that overlap. Each window begins with the token that the
    tokenizer puts before a text, if it puts one.

    Args:
        source: Where text comes from, how many windows, and how long.
        tokenizer: The model's.
        template: The model's, if it has one.
        context: Longest sequence of the model, which windows are cut to.

    Returns:
        int64 ``[samples, length]`` on the CPU.

    Raises:
        CalibrationError: The text is missing, is not text, or is too short.
    """
    length = min(source.length, context)
    wanted = source.samples * length
    read = max(_LEAST_READ, wanted * _READ_PER_TOKEN)
    documents = _some_of(documents_in(source.source, wanted), read)
    random.Random(source.seed).shuffle(documents)
    encoder = DocumentEncoder(tokenizer, template)
    stream = gathered(encoder.stream(documents), wanted)
    if len(stream) < least_tokens(source.samples, length):
        raise CalibrationError(_too_short(source, len(stream), length))
    return windows(stream, source.samples, length, encoder.start)


def _some_of(documents: Iterable[Document], characters: int) -> list[Document]:
    """Return the first documents, with so many characters, or all there are."""
    some = []
    for document in documents:
        some.append(document)
        characters -= _size(document)
        if characters <= 0:
            break
    return some


def _size(document: Document) -> int:
    text = document.plainly if isinstance(document, Chat) else document
    return len(text)


def _too_short(source: CalibrationSource, tokens: int, length: int) -> str:
    name = shown(source.source or "The text that comes with the program")
    if not tokens:
        return f"{name} holds no text that the model can read; calibrate with another one."
    least = least_tokens(source.samples, length)
    wanted = (
        f"{source.samples} windows of {length} need" if source.samples > 1 else "a window needs"
    )
    begun = f"{name} holds {tokens} tokens, and {wanted} {least}"
    possible = tokens * MOST_OVERLAP // length
    if tokens < length:
        return f"{begun}; add text, or take shorter windows: --length {tokens}."
    return f"{begun}; add text, or take fewer windows: --samples {possible}."
