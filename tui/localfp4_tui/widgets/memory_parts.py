"""What takes a device's memory: one bar, and a line for each part of it."""

from textual.content import Content
from textual.widgets import Static

from localfp4.reports import Fit, FitRow
from localfp4_tui.formatting import format_gib, one_line

STYLES = {
    "weights": ("█", "$primary"),
    "staging": ("█", "$primary 60%"),
    "KV cache": ("▓", "$accent"),
    "states": ("▓", "$accent 60%"),
    "work": ("▒", "$secondary"),
    "reserve": ("░", "$foreground 50%"),
    "other programs": ("▚", "$warning"),
    "left": ("·", "$foreground 40%"),
    "free": ("·", "$foreground 40%"),
}
"""How the parts that there are look: they differ without colours, too."""

_ANY = ("▒", "$foreground 60%")

NUMBER_WIDTH = 9


class MemoryParts(Static):
    """The parts of a plan, to scale, in the order in which they are listed below the bar."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._fit: Fit | None = None

    def show(self, fit: Fit) -> None:
        """Show a plan."""
        self._fit = fit
        self._redraw()

    def on_resize(self) -> None:
        """Fit the bar into the new width."""
        self._redraw()

    def _redraw(self) -> None:
        if self._fit is None:
            return
        parts = parts_of(self._fit)
        lines = [memory_bar(parts, self.content_size.width)]
        lines += [_line(part) for part in parts]
        self.update(Content("\n").join(lines))


def parts_of(fit: Fit) -> list[FitRow]:
    """Return everything that is in a device's memory, what is left at the end."""
    others = FitRow("other programs", fit.total_bytes - fit.free_bytes)
    left = [row for row in fit.rows if row.what == "left"]
    taken = [row for row in fit.rows if row.what != "left"]
    if not fit.rows:
        left = [FitRow("free", fit.free_bytes)]
    return [row for row in (*taken, others, *left) if row.size_bytes > 0]


def memory_bar(parts: list[FitRow], width: int) -> Content:
    """Return a bar with a stretch for each part; all of them together fill it."""
    whole = sum(part.size_bytes for part in parts) or 1
    stretches, done, at = [], 0, 0
    for part in parts:
        done += part.size_bytes
        end = round(done / whole * width)
        sign, style = STYLES.get(part.what, _ANY)
        stretches.append((sign * (end - at), style))
        at = end
    return Content.assemble(*stretches)


def _line(part: FitRow) -> Content:
    sign, style = STYLES.get(part.what, _ANY)
    return Content.assemble(
        (f"{sign} ", style),
        f"{one_line(part.what):<15}",
        f"{format_gib(part.size_bytes):>{NUMBER_WIDTH - 4}} GiB",
        (f"  {one_line(part.remark)}" if part.remark else "", "$foreground 60%"),
    )
