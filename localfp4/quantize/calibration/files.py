"""Documents out of text, JSON-lines and Parquet files, a part at a time."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.display import listed, shown
from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.documents import COLUMNS, Document, document_in

_PART = 16_384
"""Characters of a part of a text file, which ends with a paragraph: a few windows, so that windows
come from all over a book."""

_LONGEST_PART = 4 * _PART
"""Where no paragraph ends."""

_PARAGRAPH_END = re.compile(r"\n\s*\n")

_ROWS = 256
"""Rows of a Parquet file that are in memory at once."""


def documents_of(path: Path) -> Iterator[Document]:
    """Yield the documents of a file, in their order.

    Args:
        path: A text (``.txt``, ``.md``), which is cut into parts; records of JSON, one a line
            (``.jsonl``); or ``.parquet``.

    Raises:
        CalibrationError: It is none of these, cannot be read, or holds something else.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CalibrationError(
            f"{shown(path)} is no {_kinds()} file; save its text as one of them."
        )
    try:
        yield from reader(path)
    except OSError as error:
        raise CalibrationError(
            f"{shown(path)} cannot be read: {shown(error.strerror or error)}."
        ) from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{shown(path)} is not UTF-8 text; save it as UTF-8.") from error


def _text(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8-sig") as file:
        rest = ""
        while more := file.read(_PART):
            rest += more
            end = _last_paragraph_end(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
        if rest:
            yield rest


def _last_paragraph_end(text: str) -> int:
    """Return where a text may be cut: after its last paragraph, or at 0 where none is over."""
    if len(text) < _PART:
        return 0
    ends = [match.end() for match in _PARAGRAPH_END.finditer(text)]
    return ends[-1] if ends else len(text) if len(text) >= _LONGEST_PART else 0


def _json_lines(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _known(_record(path, number, line), f"{shown(path)}, line {number},")


def _record(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CalibrationError(
            f"{shown(path)}, line {number}, is not JSON; a .jsonl file has an object a line."
        ) from error
    if not isinstance(record, dict):
        raise CalibrationError(
            f"{shown(path)}, line {number}, is JSON, but no object; write "
            '{"text": "…"} or {"messages": […]}.'
        )
    return record


def _parquet(path: Path) -> Iterator[Document]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise CalibrationError(
            f"Reading {shown(path.name)} needs pyarrow: `pip install pyarrow`, or give a .jsonl file."
        ) from error
    try:
        with ParquetFile(path) as file:
            wanted = [
                name for name in file.schema_arrow.names if name in (*COLUMNS, "input", "tools")
            ]
            if not wanted:
                raise CalibrationError(_unknown(shown(path), file.schema_arrow.names))
            for batch in file.iter_batches(_ROWS, columns=wanted):
                for record in batch.to_pylist():
                    yield _known(record, f"A row of {shown(path)}")
    except ArrowException as error:
        raise CalibrationError(
            f"{shown(path)} is not a sound Parquet file; fetch it again."
        ) from error


def _known(record: Mapping[str, Any], where: str) -> Document:
    document = document_in(record)
    if document is None:
        raise CalibrationError(_unknown(where, list(record)))
    return document


def _unknown(where: str, names: list[str]) -> str:
    has = f"only {listed(names)}" if names else "nothing"
    return (
        f"{where} has no text that is known: {has}; "
        "call it text, or messages for a conversation with role and content."
    )


def _kinds() -> str:
    *others, last = READERS
    return f"{', '.join(others)} or {last}"


READERS: Mapping[str, Callable[[Path], Iterator[Document]]] = MappingProxyType(
    {".txt": _text, ".md": _text, ".jsonl": _json_lines, ".parquet": _parquet}
)
"""By the ends of names."""
