"""One picture of a run to show around: a card as SVG that needs nothing else."""

from collections.abc import Sequence

from localfp4.bench.plots.columns import Column
from localfp4.bench.records import Run
from localfp4.bench.sharing.card_facts import Entry, Facts, facts
from localfp4.bench.sharing.svg import Svg, broken, fitted

_WIDTH, _HEIGHT = 1200, 630
"""What social media show uncut."""

_LEFT, _RIGHT = 64, _WIDTH - 64
_PAPER, _TRACK, _INK, _PALE, _FAINT = "#0f1720", "#1c2733", "#f4f7fa", "#9fb0c0", "#6f8293"
_BAR, _BEST = "#3d7ea6", "#3ddc97"

_TOP, _BOTTOM = 302, 540
"""Where rows are."""

_TALLEST, _SIZE = 56, 24
"""Of a row, and of its text."""

_NOTE_BASE, _NOTE_SIZE, _NOTE_LINE, _MOST_NOTE_LINES = 568, 14, 20, 3
"""Of the notes: the baseline of the last line, and how many there may be."""

_LABEL_ROOM = 206
_BAR_X, _BAR_WIDTH = _LEFT + 222, 250
_SPEED_X, _BEST_X, _TTFT_X, _MEMORY_X, _LIMIT_X = 632, 784, 904, 1042, _RIGHT
"""Right ends of columns of figures."""


def card(run: Run) -> str:
    """Return an SVG of 1200x630 with the figures of a run that people ask for.

    It has no scripts, refers to nothing outside, and looks the same on light and dark pages.

    Raises:
        UserError: There is not a single figure.
    """
    known = facts(run)
    svg = Svg(_WIDTH, _HEIGHT, f"{known.model} on {known.device}, measured with localfp4 bench")
    svg.box(0, 0, _WIDTH, _HEIGHT, _PAPER)
    svg.box(0, 0, _WIDTH, 6, _BEST)
    _head(svg, known)
    _headings(svg)
    notes = _note_lines(known.notes)
    room = _BOTTOM - _TOP - _NOTE_LINE * max(len(notes) - 1, 0)
    height = min(room / len(known.entries), _TALLEST)
    # All names are as large as the longest of them can be.
    size = min(fitted(one.label, _SIZE, _LABEL_ROOM, bold=True)[1] for one in known.entries)
    for number, entry in enumerate(known.entries):
        _row(svg, entry, known, _TOP + number * height, height, size)
    _foot(svg, known, notes)
    return str(svg)


def _head(svg: Svg, known: Facts) -> None:
    hero = known.fastest
    room = 690 if hero else _RIGHT - _LEFT
    svg.text(_LEFT, 70, "localfp4 bench", 22, _BEST, room=room, bold=True)
    svg.text(_LEFT, 132, known.model, 50, _INK, room=room, bold=True)
    svg.text(_LEFT, 178, known.device, 28, _PALE, room=room)
    svg.text(_LEFT, 216, Column(None, known.case).title, 20, _FAINT, room=room)
    if hero and hero.decode_tokens_per_s:
        speed = _figure(hero.decode_tokens_per_s)
        svg.text(_RIGHT, 140, speed, 96, _BEST, room=350, anchor="end", bold=True)
        svg.text(_RIGHT, 178, f"tok/s decode · {hero.label}", 24, _PALE, room=350, anchor="end")


def _headings(svg: Svg) -> None:
    svg.text(_BAR_X, _TOP - 22, "decode tok/s", 17, _FAINT, room=_BAR_WIDTH)
    for x, title, room in (
        (_BEST_X, "best tok/s @batch", 164),
        (_TTFT_X, "TTFT", 100),
        (_MEMORY_X, "peak memory", 128),
        (_LIMIT_X, "of limit", 80),
    ):
        svg.text(x, _TOP - 22, title, 17, _FAINT, room=room, anchor="end")


def _row(
    svg: Svg, entry: Entry, known: Facts, top: float, height: float, label_size: float
) -> None:
    is_best = entry == known.fastest
    size = min(height * 0.58, _SIZE)
    base = top + height / 2 + size * 0.36
    ink = _INK if is_best else _PALE
    name_size = min(size, label_size)
    svg.text(_LEFT, base, entry.label, name_size, ink, room=_LABEL_ROOM, bold=is_best)
    thick = height * 0.5
    svg.box(_BAR_X, top + (height - thick) / 2, _BAR_WIDTH, thick, _TRACK, 4)
    if entry.remark:
        svg.text(_BAR_X + 12, base, entry.remark, size * 0.85, _FAINT, room=_BAR_WIDTH - 24)
        return
    if entry.decode_tokens_per_s and known.fastest and known.fastest.decode_tokens_per_s:
        share = entry.decode_tokens_per_s / known.fastest.decode_tokens_per_s
        bar = max(share * _BAR_WIDTH, 8)
        svg.box(_BAR_X, top + (height - thick) / 2, bar, thick, _BEST if is_best else _BAR, 4)
    best = _figure(entry.best_tokens_per_s)
    if entry.best_batch and entry.best_batch != known.case.batch:
        best += f" @{entry.best_batch}"
    for x, figure, room in (
        (_SPEED_X, _figure(entry.decode_tokens_per_s), 84),
        (_BEST_X, best, 140),
        (_TTFT_X, _milliseconds(entry.ttft_ms), 106),
        (_MEMORY_X, _gibibytes(entry.peak_memory_bytes), 128),
        (_LIMIT_X, _percent(entry.percent_of_limit), 80),
    ):
        svg.text(x, base, figure, size, ink, room=room, anchor="end", bold=is_best)


def _note_lines(notes: Sequence[str]) -> list[str]:
    """Return as many notes as there is room for, none of them cut off, and how many there are more."""
    for count in range(len(notes), -1, -1):
        left = len(notes) - count
        more = [f"{left} more in the report" if count else "remarks: in the report"] if left else []
        lines = broken(" · ".join([*notes[:count], *more]), _NOTE_SIZE, _RIGHT - _LEFT)
        if len(lines) <= _MOST_NOTE_LINES:
            return lines
    return []


def _foot(svg: Svg, known: Facts, notes: Sequence[str]) -> None:
    for number, line in enumerate(notes, 1):
        base = _NOTE_BASE - (len(notes) - number) * _NOTE_LINE
        svg.text(_LEFT, base, line, _NOTE_SIZE, _FAINT, room=_RIGHT - _LEFT)
    line = f"{known.versions} · {known.date}"
    svg.text(_LEFT, 598, line, 17, _FAINT, room=780)
    svg.text(_RIGHT, 598, "measured with localfp4 bench", 17, _PALE, room=270, anchor="end")


def _figure(number: float | None) -> str:
    if number is None:
        return "—"
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:,.{digits}f}"


def _milliseconds(number: float | None) -> str:
    if number is None:
        return "—"
    return f"{number:.0f} ms" if number < 1e4 else f"{number / 1e3:.1f} s"


def _gibibytes(number: float | None) -> str:
    return "—" if number is None else f"{number / 2**30:.1f} GiB"


def _percent(number: float | None) -> str:
    return "—" if number is None else f"{number:.0f}%"
