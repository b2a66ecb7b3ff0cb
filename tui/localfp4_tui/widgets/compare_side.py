"""One side of a comparison: what answers, what it says, and its figures."""

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from localfp4.text.sanitize import sanitize
from localfp4_tui.compare_choices import describe
from localfp4_tui.comparison import Side, SideState
from localfp4_tui.divergence import Span
from localfp4_tui.formatting import format_rate, format_seconds, one_line
from localfp4_tui.widgets.answer import END_IN_WORDS


class CompareSide(Vertical):
    """Shows a side as it loads and answers; marks where it parts from the other.

    Args:
        side: What is shown.
        number: Which key keeps it.
    """

    def __init__(self, side: Side, number: int) -> None:
        super().__init__()
        self._side = side
        self._facts = Static(classes="facts", markup=False)
        self._said = Static(markup=False)
        self._scroll = VerticalScroll(self._said)
        self._figures = Static(classes="figures", markup=False)
        self.border_title = Content.assemble(f"{number}  ", one_line(describe(side.choice)))

    def compose(self) -> ComposeResult:
        """Lay out the facts, the answer and the figures."""
        yield self._facts
        yield self._scroll
        yield self._figures

    def on_mount(self) -> None:
        """Follow the answer as it grows."""
        self._scroll.anchor()

    def show(self, parting: Span | None) -> None:
        """Show the side as it is now.

        Args:
            parting: What in it is the first to differ from the other side, if anything.
        """
        side = self._side
        self._facts.update(self._facts_words(), layout=False)
        self._figures.update(self._figures_words(), layout=False)
        self._said.update(self._answer(parting))
        self.set_class(side.state is SideState.FAILED, "-failed")

    def _facts_words(self) -> str:
        info = self._side.info
        if info is None:
            return ""
        return one_line(info.server or f"{info.weight_format} · {info.kernel_path}")

    def _figures_words(self) -> str:
        side = self._side
        if side.finished is not None:
            figures = [f"{side.finished.output_tokens} tok"]
            if side.finished.decode_tokens_per_s:
                figures.append(format_rate(side.finished.decode_tokens_per_s))
            if side.finished.ttft_s:
                figures.append(f"TTFT {format_seconds(side.finished.ttft_s)}")
            if side.finished.reason != "stop":
                figures.append(END_IN_WORDS[side.finished.reason])
            return " · ".join(figures)
        match side.state:
            case SideState.WAITING:
                return "waiting for its turn"
            case SideState.LOADING:
                stage = one_line(side.meter.progress.stage)
                return " · ".join([stage, *side.meter.figures()])
            case SideState.FAILED:
                return "no answer" if not side.said.text else "broken off"
        tokens = len(side.said.tokens)
        return f"{tokens} tok …" if tokens else "reading the question …"

    def _answer(self, parting: Span | None) -> Content:
        said, failure = self._side.said, self._side.failure
        thought = Content.styled(said.thought, "italic $text-muted")
        text = Content(said.text)
        if parting is not None:
            style = "bold $text-warning on $warning-muted"
            if parting.is_thought:
                thought = thought.stylize(style, parting.start, parting.end)
            else:
                text = text.stylize(style, parting.start, parting.end)
        parts = [part for part in (thought, text) if part.plain.strip()]
        if failure:
            parts.append(Content.styled(sanitize(failure), "$text-error"))
        return Content("\n\n").join(parts)
