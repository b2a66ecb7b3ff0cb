"""The speed of the loaded model, being measured and measured."""

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.errors import UserError
from localfp4.messages import ModelInfo
from localfp4.text.sanitize import sanitize
from localfp4_tui.bench import REPEATS, Bench, Progress, Run, Spread
from localfp4_tui.feed import Feed
from localfp4_tui.formatting import bar, count_of, format_seconds

BAR_WIDTH = 32


class BenchScreen(ModalScreen[None]):
    """Runs a measurement; Escape ends it and closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,q", "close", "End the measurement and close", id="bench.close", priority=True
        ),
    ]

    def __init__(self, bench: Bench, info: ModelInfo) -> None:
        super().__init__()
        self._bench = bench
        self._info = info
        self._runs: list[Run] = []
        self._state = Static(markup=False)
        self._figures = Static(classes="figures", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out what goes on, and what has come of it."""
        with VerticalScroll() as sheet:
            sheet.border_subtitle = "esc closes"
            yield Static(f"Speed of {sanitize(self._info.name)}", classes="heading", markup=False)
            yield self._state
            yield self._figures

    def on_mount(self) -> None:
        """Begin to measure."""
        self._state.update("Warming up …")
        self._measure()

    def action_close(self) -> None:
        """End the measurement, wherever it is, and close.

        It closes at once: what is typed while the engine is told belongs to the prompt.
        """
        self.app.run_worker(self._bench.cancel, thread=True, group="bench")
        self.dismiss()

    @work(exclusive=True, group="bench")
    async def _measure(self) -> None:
        try:
            async for batch in Feed(self._bench.run).batches():
                self._runs += [news for news in batch if isinstance(news, Run)]
                self._figures.update(bench_content(self._runs, self._info.limit_tokens_per_s))
                if isinstance(batch[-1], Progress):
                    self._state.update(_progress_in_words(batch[-1]))
        except UserError as error:
            self._state.update(Content.styled(sanitize(str(error)), "$text-error"))
        else:
            self._state.update(_end_in_words(self._runs))


def bench_content(runs: Sequence[Run], limit_tokens_per_s: float) -> Content:
    """Return the figures of all runs so far, a line each."""
    if not runs:
        return Content("")
    prompt, output = runs[-1].shape.prompt_tokens, runs[-1].shape.output_tokens
    decode = Spread.of([run.decode_tokens_per_s for run in runs])
    prefill = Spread.of([run.prefill_tokens_per_s for run in runs])
    rows = [
        (f"Prefill of {prompt}", f"{_in_words(prefill)} tok/s"),
        (f"Decode of {output}", f"{_in_words(decode)} tok/s"),
        ("TTFT", format_seconds(Spread.of([run.ttft_s for run in runs]).mean)),
    ]
    if limit_tokens_per_s:
        share = f"{decode.mean / limit_tokens_per_s:.0%} of {limit_tokens_per_s:.0f} tok/s"
        rows.append(("Of the limit", share))
    width = max(len(name) for name, _ in rows)
    lines = (Content.assemble((f"{name:{width}}  ", "$text-accent"), v) for name, v in rows)
    return Content("\n").join(list(lines))


def _progress_in_words(progress: Progress) -> str:
    share = progress.tokens / progress.shape.output_tokens
    drawn = bar(share, BAR_WIDTH)
    what = "Warming up" if not progress.run else f"Run {progress.run} of at most {REPEATS}"
    return f"{what}\n{drawn}"


def _end_in_words(runs: Sequence[Run]) -> str:
    return f"Mean of {count_of(len(runs), 'run')}, with standard deviation" if runs else ""


def _in_words(spread: Spread) -> str:
    digits = 0 if spread.mean >= 100 else 1
    mean = f"{spread.mean:.{digits}f}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.{digits}f}"
