"""The figures of the engine and its device over the last minutes, live."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4_tui.figures import live_rows
from localfp4_tui.formatting import format_rate
from localfp4_tui.session import ChatSession
from localfp4_tui.status import chat_status, device_status
from localfp4_tui.track import Sample
from localfp4_tui.widgets.memory_column import MemoryColumn
from localfp4_tui.widgets.plot import Plot

REDRAW_EVERY_S = 1.0


class TelemetryScreen(ModalScreen[None]):
    """Plots on the left, the memory and figures on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3,q", "dismiss", "Close the figures", id="telemetry.close"),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._speed = Plot("Speed", _tokens_per_s, least_top=1.0, style="$primary 75%")
        self._power = Plot("Power", _power_w, least_top=50.0, style="$accent 75%")
        self._temperature = Plot(
            "Temperature", _temperature_c, least_top=100.0, style="$warning 75%"
        )
        self._busy = Plot("Busy", _busy, least_top=1.0, style="$success 75%")
        self._memory = MemoryColumn()
        self._figures = Static(classes="figures", markup=False)
        self._rows = 0

    def compose(self) -> ComposeResult:
        """Lay out the two halves."""
        with Horizontal() as panel:
            panel.border_title = "The last two minutes"
            panel.border_subtitle = "esc closes"
            with Vertical(classes="plots"):
                yield self._speed
                yield self._power
                yield self._temperature
                yield self._busy
            with Vertical(classes="side"):
                yield self._memory
                yield self._figures

    def on_mount(self) -> None:
        """Begin to follow the session."""
        self._redraw()
        self.set_interval(REDRAW_EVERY_S, self._redraw)

    def _redraw(self) -> None:
        session, device = self._session, device_status(self._session)
        track, info = session.telemetry.track, session.info
        limit = info.limit_tokens_per_s if info is not None else 0.0
        self._speed.show(track, _speed_figures(session, limit), limit or None)
        self._show_gauge(self._power, device.power_w, "{:.0f} W")
        self._show_gauge(self._temperature, device.temperature_c, "{:.0f} °C")
        self._show_gauge(self._busy, device.busy, "{:.0%}")
        self._memory.show(device.memory)
        self._memory.display = bool(device.memory)
        rows = live_rows(session)
        width = max((len(name) for name, _ in rows), default=0)
        lines = (Content.assemble((f"{name:{width}}  ", "$text-accent"), v) for name, v in rows)
        self._figures.update(Content("\n").join(list(lines)), layout=len(rows) != self._rows)
        self._rows = len(rows)

    def _show_gauge(self, plot: Plot, now: float | None, form: str) -> None:
        plot.display = now is not None
        if now is not None:
            plot.show(self._session.telemetry.track, form.format(now))


def _speed_figures(session: ChatSession, limit: float) -> str:
    now = chat_status(session).tokens_per_s
    figures = [format_rate(now)] if now else []
    if limit:
        figures.append(f"limit {limit:.0f}")
    if middle := session.telemetry.track.median_speed():
        figures.append(f"median {middle:.0f}")
    return " · ".join(figures)


def _tokens_per_s(sample: Sample) -> float:
    return sample.tokens_per_s


def _power_w(sample: Sample) -> float | None:
    return sample.gauges.power_w if sample.gauges else None


def _temperature_c(sample: Sample) -> float | None:
    return sample.gauges.temperature_c if sample.gauges else None


def _busy(sample: Sample) -> float | None:
    return sample.gauges.busy if sample.gauges else None
