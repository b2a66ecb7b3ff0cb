"""Choosing what of a line fits a width; no widgets."""

from collections.abc import Iterable, Sequence

from textual.content import Content

_SEPARATOR = (" │ ", "$foreground 30%")


def fitted(layouts: Iterable[Sequence[Content]], width: int) -> Content:
    """Return the first layout of a line that fits ``width`` cells, or the last one, cut.

    Args:
        layouts: The parts of a line as they might be written, the fullest layout first; empty
            parts are left out.
        width: Cells of the line.
    """
    line = Content("")
    for layout in layouts:
        line = _joined([part for part in layout if part.plain])
        if line.cell_length <= width:
            return line
    return line.truncate(max(width, 0), ellipsis=True)


def _joined(parts: Sequence[Content]) -> Content:
    # Content.join counts the separator once too often, when its length has been asked for.
    pieces: list[Content | tuple[str, str]] = []
    for part in parts:
        pieces += [_SEPARATOR, part] if pieces else [part]
    return Content.assemble(*pieces)
