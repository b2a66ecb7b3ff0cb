"""The text that models are evaluated on."""

from collections.abc import Iterator
from pathlib import Path

from localfp4.evaluate.built_in import BUILT_IN
from localfp4.quantize.calibration.documents import Chat
from localfp4.quantize.calibration.sources import documents_in

_CHARACTERS_PER_TOKEN = 16
"""Far more than a token has, so that there is enough text."""

_OWN = "built-in text"


def named_text(source: str | None, tokens: int) -> tuple[str, str]:
    """Return what to call a text, and the text.

    Conversations read as plain text: who speaks, and what is said.

    Args:
        source: A file or a data set; ``None`` is the text that comes with the program.
        tokens: How many will be read at most.

    Raises:
        CalibrationError: There is no such text.
    """
    if source is None:
        return _OWN, BUILT_IN.read_text(encoding="utf-8")
    parts, size = [], 0
    for part in _plainly(source, tokens):
        parts.append(part)
        size += len(part)
        if size > tokens * _CHARACTERS_PER_TOKEN:
            break
    return Path(source).name, "\n\n".join(parts)


def _plainly(source: str, tokens: int) -> Iterator[str]:
    for document in documents_in(source, tokens):
        yield document.plainly if isinstance(document, Chat) else document
