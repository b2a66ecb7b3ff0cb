"""Whether a model fits, by length of context, while the context is moved."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.reports import Choice, Fit
from localfp4.text.sanitize import sanitize
from localfp4_tui.backend import Backend
from localfp4_tui.fit_view import Planned, Planner, at_context
from localfp4_tui.formatting import format_gib, format_rate, one_line
from localfp4_tui.widgets.context_slider import ContextSlider
from localfp4_tui.widgets.memory_parts import MemoryParts

_HINT = "←→ PgUp PgDn Home End · Enter load · Esc close"


class FitScreen(ModalScreen[Choice | None]):
    """Shows what a model takes at each length of context; closes with what is to be loaded."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", id="fit.close"),
        Binding("enter", "load", "Load with this context", id="fit.load"),
        Binding("left", "move(-1)", "Shorter", id="fit.shorter"),
        Binding("right", "move(1)", "Longer", id="fit.longer"),
        Binding("pagedown", "scale(0.5)", "Half as long", key_display="PgDn", id="fit.half"),
        Binding("pageup", "scale(2)", "Twice as long", key_display="PgUp", id="fit.double"),
        Binding("home", "scale(0)", "The shortest", id="fit.least"),
        Binding("end", "scale(1e9)", "The longest", id="fit.most"),
    ]

    def __init__(self, backend: Backend, choice: Choice) -> None:
        """Plan a model.

        Args:
            backend: Who plans.
            choice: Which model, and with which context to begin.
        """
        super().__init__()
        self._planner = Planner(backend)
        self._choice = choice
        self._planned: Planned | None = None
        self._heading = Static(markup=False, classes="heading")
        self._length = Static(markup=False, classes="context")
        self._slider = ContextSlider()
        self._memory = MemoryParts()
        self._verdict = Static(markup=False, classes="verdict")

    def compose(self) -> ComposeResult:
        """Lay out the slider above what comes of it."""
        with Vertical() as sheet:
            sheet.border_title = "What fits"
            yield self._heading
            yield self._length
            yield self._slider
            with VerticalScroll(can_focus=False):
                yield self._memory
                yield self._verdict
            yield Static(_HINT, classes="hint", markup=False)

    def on_mount(self) -> None:
        """Plan the context that would be chosen by itself."""
        self._heading.update(f"{one_line(self._choice.model)} · its headers are being read")
        self._slider.display = False
        self._planner.want(self._choice)
        self.plan()

    @work(exclusive=True)
    async def plan(self) -> None:
        """Show plans as they come."""
        async for planned in self._planner.plans():
            self._planned = planned
            self._show(planned)

    @on(ContextSlider.Moved)
    def go_to(self, event: ContextSlider.Moved) -> None:
        """Plan another context; the slider moves at once, the figures follow."""
        if self._planned is None or self._planned.fit is None:
            return
        most = self._planned.fit.model_context_tokens
        self._choice = at_context(self._choice, event.tokens, most)
        self._slider.tokens = self._choice.context or 0
        self._planner.want(self._choice)

    def action_move(self, cells: int) -> None:
        """Move the context by some cells."""
        self.go_to(ContextSlider.Moved(self._slider.moved(cells)))

    def action_scale(self, factor: float) -> None:
        """Multiply the context."""
        self.go_to(ContextSlider.Moved(int(self._slider.tokens * factor)))

    def action_load(self) -> None:
        """Close with the choice, if it fits."""
        planned = self._planned
        fits = planned is not None and planned.fit is not None and planned.fit.fits
        if fits and planned is not None and planned.choice == self._choice:
            self.dismiss(self._choice)
        else:
            self.app.bell()

    def action_close(self) -> None:
        """Close and load nothing."""
        self.dismiss(None)

    def _show(self, planned: Planned) -> None:
        fit = planned.fit
        self.set_class(fit is None or not fit.fits, "-too-much")
        if fit is None:
            self._heading.update(one_line(planned.choice.model))
            self._verdict.update(sanitize(planned.error))
            return
        self._heading.update(_heading(planned.choice, fit))
        self._slider.display = True
        self._slider.most = fit.model_context_tokens
        shown = planned.choice.context or fit.context_tokens or self._slider.least
        if planned.choice == self._choice:
            self._slider.tokens = shown
        self._length.update(_length(shown, fit))
        self._memory.show(fit)
        self._verdict.update(_verdict(fit))


def _heading(choice: Choice, fit: Fit) -> Content:
    free = f"{format_gib(fit.free_bytes)} GiB free of {format_gib(fit.total_bytes)}"
    return Content.assemble(
        (one_line(choice.model), "bold"),
        (f" on {one_line(fit.device)} · {free}", "$foreground 60%"),
    )


def _length(tokens: int, fit: Fit) -> Content:
    verdict = ("does not fit", "bold $text-error")
    if fit.fits:
        whole = ("fits", "bold $text-success")
        verdict = whole if fit.is_whole else ("fits, partly in RAM", "bold $text-warning")
    return Content.assemble((f"{tokens:,} tokens of context ", "bold"), verdict)


def _verdict(fit: Fit) -> Content:
    if not fit.fits:
        return Content.styled(sanitize(fit.reason), "$text-error")
    lines = []
    if fit.expected_tokens_per_s is not None and fit.limit_tokens_per_s is not None:
        expected, limit = format_rate(fit.expected_tokens_per_s), fit.limit_tokens_per_s
        lines.append(f"about {expected} expected; the bandwidth allows {format_rate(limit)}")
    lines += [f"→ {sanitize(line)}" for line in fit.advice]
    return Content("\n".join(lines))
