"""A download that can be paused and gone on with, and how far it is; no widgets."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from time import monotonic

from textual.content import Content

from localfp4.messages import LoadProgress
from localfp4_tui.backend import Backend
from localfp4_tui.feed import Feed
from localfp4_tui.formatting import one_line
from localfp4_tui.load_meter import LoadMeter

REPORTS_EVERY_S = 0.25


class Download:
    """The download of one model.

    Attributes:
        model: Which.
        meter: How far it is.
        is_running: Whether bytes arrive; not before :meth:`run`, while paused, or at the end.
        is_done: Whether all of it has arrived.
    """

    def __init__(self, backend: Backend, model: str) -> None:
        self.model = model
        self.meter = LoadMeter(LoadProgress("asking the hub"))
        self.is_running = False
        self.is_done = False
        self._backend = backend
        self._paused = threading.Event()

    async def run(self) -> AsyncIterator[None]:
        """Begin, or go on, yielding whenever there is news, until it is done or paused.

        Raises:
            UserError: It cannot be had.
        """
        self._paused = paused = threading.Event()
        self.meter = LoadMeter(self.meter.progress)
        self.is_running = True
        yield
        try:
            feed = Feed(lambda: self._steps(paused), pause_s=REPORTS_EVERY_S)
            async for reports in feed.batches():
                if self._paused is not paused:
                    return  # it was paused and gone on with: this is the old one's last word
                for report in reports:
                    self.meter.add(report, monotonic())
                yield
            self.is_done = not paused.is_set()
        finally:
            if self._paused is paused:
                self.is_running = False

    def pause(self) -> None:
        """Let no more bytes arrive; what is here is kept."""
        self._paused.set()
        self.is_running = False

    def state(self) -> tuple[str, str]:
        """Return one word on it, and its style."""
        if self.is_running:
            share = self.meter.share
            return ("downloading" if share is None else f"{share:.0%}", "$text-primary")
        return ("paused", "$text-warning")

    def line(self, bar_width: int) -> Content:
        """Return a bar and the figures, or what is waited for before there are any."""
        if self.meter.share is None:
            return Content.styled(one_line(self.meter.progress.stage), "$foreground 60%")
        filled = round(self.meter.share * bar_width)
        figures = self.meter.figures() if self.is_running else self.meter.figures()[:2]
        return Content.assemble(
            ("━" * filled, "$primary"),
            ("━" * (bar_width - filled), "$foreground 20%"),
            (f" {' · '.join(figures[1:])}", "$foreground 60%"),
        )

    def _steps(self, paused: threading.Event) -> Iterator[LoadProgress]:
        with closing(self._backend.download(self.model)) as steps:
            for step in steps:
                if paused.is_set():
                    return
                yield step
