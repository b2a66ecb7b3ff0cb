"""The lower line of the status: memory, temperature, power and energy, or whose they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4_tui.fitting import fitted
from localfp4_tui.formatting import format_changing_gib, format_gib, one_line
from localfp4_tui.memory_split import MemoryPart, cells


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """What there is to show of the device.

    Attributes:
        memory_label: ``VRAM`` or ``RAM``.
        memory: What it holds, part by part; empty where nothing is known.
        temperature_c: Degrees Celsius, or ``None``.
        power_w: Watts, or ``None``.
        busy: Share of the last moment in which it worked, or ``None``.
        answer_j: Joules of the last answer, or ``None``.
        is_alarming: Whether other programs' memory makes the model slow.
        server: Who runs the model instead, where nothing is known of the device.
    """

    memory_label: str = ""
    memory: tuple[MemoryPart, ...] = ()
    temperature_c: float | None = None
    power_w: float | None = None
    busy: float | None = None
    answer_j: float | None = None
    is_alarming: bool = False
    server: str = ""


def device_content(status: DeviceStatus, width: int) -> Content:
    """Return the line; what does not fit into ``width`` cells is shortened or left out."""
    if status.memory:
        return fitted(_layouts(status), width)
    return Content.styled(one_line(status.server), "$text-muted").truncate(width, ellipsis=True)


def memory_bar(parts: Sequence[MemoryPart], width: int) -> Content:
    """Return a bar of ``width`` cells, each part with its own glyph and colour."""
    counts = zip(parts, cells(parts, width), strict=True)
    return Content.assemble(*((part.glyph * count, part.style) for part, count in counts))


def _layouts(status: DeviceStatus) -> Iterator[tuple[Content, ...]]:
    all_of_it, named, close, figures = _legends(status)
    heat, warmth, energy = _heat(status, busy=True), _heat(status), _energy(status)
    for width in (24, 16, 10):
        yield _memory(status, width), all_of_it, heat, energy
    yield _memory(status, 10), named, heat, energy
    yield _memory(status, 6), close, warmth, energy
    yield _memory(status, 6), close, warmth
    yield _memory(status, 10), figures, warmth
    yield _memory(status, 6), figures, warmth
    yield _memory(status, 0), figures, warmth
    yield _memory(status, 6), warmth
    yield _memory(status, 6), Content("")
    yield _memory(status, 0), Content("")


def _memory(status: DeviceStatus, width: int) -> Content:
    """How much of the memory is in use, and a bar of it."""
    total = sum(part.nbytes for part in status.memory)
    used = total - sum(part.nbytes for part in status.memory if part.name == "free")
    figures = f"{status.memory_label} {format_changing_gib(used)}/{format_gib(total)}G"
    drawn = memory_bar(status.memory, width)
    return Content.assemble(figures, " " if width else "", drawn)


def _legends(status: DeviceStatus) -> tuple[Content, Content, Content, Content]:
    """What the glyphs of the bar mean, and how much that is, in fewer and fewer words."""
    known = [part for part in status.memory if part.name != "used"]
    taken = [part for part in known if part.name != "free"]
    if not taken:
        return (Content(""),) * 4
    alarm = status.is_alarming
    return (
        _legend(known, " {name} ", alarm=alarm),
        _legend(taken, " {name} ", alarm=alarm),
        _legend(taken, "{name} ", alarm=alarm),
        _legend(taken, " ", alarm=alarm),
    )


def _legend(parts: Sequence[MemoryPart], form: str, *, alarm: bool) -> Content:
    pieces: list[tuple[str, str]] = []
    for part in parts:
        is_culprit = alarm and part.name == "other"
        words = f"{form.format(name=part.name)}{format_changing_gib(part.nbytes)}"
        pieces += [(" " if pieces else "", ""), (part.glyph, part.style)]
        pieces += [(f"{words}!", "bold $text-warning")] if is_culprit else [(words, "")]
    return Content.assemble(*pieces)


def _heat(status: DeviceStatus, *, busy: bool = False) -> Content:
    figures = []
    if status.temperature_c is not None:
        figures.append(f"{status.temperature_c:.0f}°")
    if status.power_w is not None:
        figures.append(f"{status.power_w:.0f} W")
    if busy and status.busy is not None:
        figures.append(f"{status.busy:.0%} busy")
    return Content(" ".join(figures))


def _energy(status: DeviceStatus) -> Content:
    return Content("" if status.answer_j is None else f"{status.answer_j:.0f} J")


class DeviceLine(Static):
    """Shows a :class:`DeviceStatus`, redrawn only when it changes and without a new layout.

    It takes no room while nothing is known of the device, or where the screen is short.
    """

    def __init__(self) -> None:
        super().__init__(classes="-empty", markup=False)
        self._status = DeviceStatus()

    def show(self, status: DeviceStatus) -> None:
        """Show a status."""
        if status != self._status:
            self._status = status
            self.set_class(not (status.memory or status.server), "-empty")
            self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Choose anew what fits."""
        self._redraw()

    def _redraw(self) -> None:
        self.update(device_content(self._status, self.content_size.width), layout=False)
