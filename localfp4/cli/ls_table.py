"""The tables of ``localfp4 ls``: which columns there are, and what stands in them."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import click

from localfp4.backend.installed import InstalledModel
from localfp4.checkpoint.display import size
from localfp4.checkpoint.names.aliases import Alias
from localfp4.checkpoint.store.disk import free_bytes
from localfp4.text.sanitize import sanitize

_Row = tuple[str, str, str, str, str]

_FEWEST_COLUMNS = 10
"""Of the last column: where a terminal leaves less, it wraps."""

_HEADINGS = ("NAME", "FORMAT", "SIZE", "USED", "MODEL")
_KNOWN_HEADINGS = ("NAME", "FORMAT", "SIZE", "", "MODEL")
_INSTEAD_OF_A_FORMAT = {"damaged": "damaged", "unsupported": "cannot be run", "other": "no model"}


def installed_lines(models: Sequence[InstalledModel], now_s: float) -> list[str]:
    """Return a table of what is here; what cannot be run is dim on a terminal."""
    rows = [_row(model, now_s) for model in models]
    head, *lines = aligned([_HEADINGS, *rows], to_the_right=(2,))
    return [
        click.style(head, bold=True),
        *(
            click.style(line, dim=True) if model.state in ("unsupported", "other") else line
            for model, line in zip(models, lines, strict=True)
        ),
    ]


def known_lines(aliases: Iterable[Alias], here: set[str]) -> list[str]:
    """Return a table of what can be downloaded by a short name.

    Args:
        aliases: Short names.
        here: The repositories that are on this computer.
    """
    rows = [
        (
            alias.name,
            alias.weights,
            "" if alias.size_bytes is None else size(alias.size_bytes),
            "here" if alias.repo_id in here else "",
            alias.repo_id,
        )
        for alias in aliases
    ]
    head, *lines = aligned([_KNOWN_HEADINGS, *rows], to_the_right=(2,))
    return [click.style(head, bold=True), *lines]


def summary(models: Sequence[InstalledModel], stored: int, cache: Path, hidden: int) -> str:
    """Return a line on how many there are, and what the cache takes of the disk.

    Args:
        models: Those that are listed.
        stored: Bytes of all models in the cache.
        cache: Its folder.
        hidden: How many are not listed.
    """
    counted = f"{len(models)} model{'' if len(models) == 1 else 's'}"
    parts = [f"{counted}; downloads take {size(stored)} in {sanitize(str(cache))}"]
    if (free := free_bytes(cache)) is not None:
        parts.append(f"{size(free)} are free there")
    if hidden:
        parts.append(f"--all lists {hidden} more that cannot be run")
    return "; ".join(parts)


def aligned(rows: Sequence[Sequence[str]], to_the_right: Sequence[int]) -> list[str]:
    """Return lines of a table; its last column is cut where the terminal is narrower."""
    clean = [[" ".join(sanitize(cell).split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = shutil.get_terminal_size().columns - before if sys.stdout.isatty() else sys.maxsize
    lines = []
    for row in clean:
        cells = [
            cell.rjust(width) if column in to_the_right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row[:-1], widths, strict=False))
        ]
        lines.append("  ".join((*cells, _cut(row[-1], room))).rstrip())
    return lines


def _row(model: InstalledModel, now_s: float) -> _Row:
    if model.origin == "bundled":
        used, last = "", "comes with localfp4"
    else:
        used = "" if model.used_s is None else day(model.used_s, now_s)
        last = model.remark.partition(";")[0]  # what follows is what to do about it
    behind = model.name if model.alias else ""
    about = ": ".join(part for part in (behind, last) if part)
    return (model.alias or model.name, _format(model), _size(model), used, about)


def day(moment_s: float, now_s: float) -> str:
    """Put the day of a moment into words, on the user's clock: ``today``, ``3 days ago``, a date."""
    then, now = datetime.fromtimestamp(moment_s), datetime.fromtimestamp(now_s)
    days = (now.date() - then.date()).days
    if days <= 0:
        return "today"
    if days == 1:
        return "yesterday"
    return f"{days} days ago" if days < 60 else then.strftime("%Y-%m-%d")


def _format(model: InstalledModel) -> str:
    if model.state == "unfinished":
        whole = model.size_bytes
        return f"{min(100 * model.present_bytes // whole, 99)} % here" if whole else "a part here"
    return _INSTEAD_OF_A_FORMAT.get(model.state, model.weight_format)


def _size(model: InstalledModel) -> str:
    if model.state == "unfinished" and model.size_bytes is None:
        return f"> {size(model.present_bytes)}"
    return "" if model.size_bytes is None else size(model.size_bytes)


def _cut(text: str, room: int) -> str:
    return text if room < _FEWEST_COLUMNS or len(text) <= room else f"{text[: room - 1]}…"
