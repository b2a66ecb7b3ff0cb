"""Figures of the model and the device: looked up, followed and measured."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from localfp4.errors import RequestError
from localfp4_tui.bench import Bench
from localfp4_tui.figures import load_rows, memory_rows, model_rows, speed_rows
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.bench import BenchScreen
from localfp4_tui.screens.sheet import SheetScreen
from localfp4_tui.screens.telemetry import TelemetryScreen
from localfp4_tui.session import EngineState


class TelemetryActions(AnsweringScreen):
    """Actions that show figures."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f3", "telemetry", "Follow the figures", id="chat.telemetry", priority=True),
    ]

    def action_telemetry(self) -> None:
        """Follow speed, memory, temperature and power over the last minutes."""
        self.app.push_screen(TelemetryScreen(self.session))

    def action_stats(self) -> None:
        """Show the model, its memory and its speed."""
        session = self.session
        sections = [
            ("Model", model_rows(session)),
            ("Loading", load_rows(session)),
            ("Device", memory_rows(session)),
            ("Speed", speed_rows(session)),
        ]
        self.app.push_screen(SheetScreen(sections))

    def action_bench(self) -> None:
        """Measure how fast the loaded model reads and writes.

        Raises:
            RequestError: It is busy, not loaded, or cannot be measured.
        """
        session = self.session
        if self.is_busy:
            raise RequestError("An answer is being written; stop it before measuring.")
        if session.state is not EngineState.READY or session.info is None:
            raise RequestError("The model is not ready to be measured.")
        if session.info.server:
            raise RequestError("Servers are measured by `localfp4 bench --base-url`.")
        bench = Bench(session.backend, session.info)
        self.app.push_screen(BenchScreen(bench, session.info))
