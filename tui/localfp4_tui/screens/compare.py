"""Two answers to one question, side by side, while they are written one after the other."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.messages import Request
from localfp4.reports import Choice
from localfp4_tui.backend import Backend
from localfp4_tui.comparison import Comparison, Side, SideState
from localfp4_tui.comparison_words import verdict
from localfp4_tui.formatting import one_line
from localfp4_tui.keys import key_name
from localfp4_tui.widgets.compare_side import CompareSide

PATIENCE_S = 3.0
"""How long a load may go on after it was to stop, before the engine is ended."""


class CompareScreen(ModalScreen[Side | None]):
    """Asks both sides and shows where they part; closes with the side that is to be kept, if any.

    The engine is back at what was loaded before by then, or ended.

    Args:
        backend: What loads and answers.
        request: What both are asked.
        choices: The two sides.
        question: The last message of the user, for the heading.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-wide")]  # noqa: RUF012 - as Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "keep(0)", "Keep the first answer", id="compare.keep_1"),
        Binding("2", "keep(1)", "Keep the second answer", id="compare.keep_2"),
        Binding("escape,q", "leave", "Back to the chat", id="compare.leave"),
    ]

    def __init__(
        self, backend: Backend, request: Request, choices: Sequence[Choice], *, question: str
    ) -> None:
        super().__init__()
        self._backend = backend
        self._comparison = Comparison(backend, request, choices)
        self._question = one_line(question)
        self._sides = [CompareSide(s, n) for n, s in enumerate(self._comparison.sides, 1)]
        self._verdict = Static(classes="verdict", markup=False)
        self._hint = Static(classes="hint", markup=False)
        self._kept: Side | None = None
        self._is_leaving = False

    def compose(self) -> ComposeResult:
        """Lay out the question, both sides, and what they come to."""
        heading = Content.assemble(("Compare", "bold $text-primary"), f"  {self._question}")
        yield Static(heading, classes="question", markup=False)
        with Container(classes="sides"):
            yield from self._sides
        yield self._verdict
        yield self._hint

    def on_mount(self) -> None:
        """Begin."""
        self._show()
        self.compare()

    @work(exclusive=True)
    async def compare(self) -> None:
        """Show both sides as they answer; close at the end if that was asked for."""
        async for _ in self._comparison.run():
            self._show()
        if self._is_leaving:
            self.dismiss(self._kept)

    async def action_keep(self, number: int) -> None:
        """Close, and make one side's answer an answer of the conversation."""
        side = self._comparison.sides[number]
        if _can_be_kept(side):
            self._kept = side
            await self.action_leave()
        else:
            self.app.bell()

    async def action_leave(self) -> None:
        """Close; what is under way is stopped first."""
        if self._comparison.is_over:
            self.dismiss(self._kept)
        elif not self._is_leaving:
            self._is_leaving = True
            self._show()
            self.set_timer(PATIENCE_S, self._end_engine)
            await asyncio.to_thread(self._comparison.stop)

    async def _end_engine(self) -> None:
        await asyncio.to_thread(self._backend.close)

    def _show(self) -> None:
        parting = self._comparison.parting
        for widget, span in zip(self._sides, parting.spans, strict=True):
            widget.show(span)
        self._verdict.update(verdict(self._comparison))
        self._hint.update(self._hint_words(), layout=False)

    def _hint_words(self) -> str:
        if self._is_leaving:
            return "stopping …"
        comparison = self._comparison
        leave = "back to the chat" if comparison.is_over else "stop and go back"
        words = [f"{key_name(self, 'compare.leave')} {leave}"]
        keys = [
            key_name(self, f"compare.keep_{number}")
            for number, side in enumerate(comparison.sides, 1)
            if _can_be_kept(side)
        ]
        if keys:
            words.append(f"{' or '.join(keys)} keep that answer")
        if comparison.way_back is not None and not comparison.is_over:
            figures = comparison.way_back.figures()[:1]
            words.append(" ".join(["loading what was there before", *figures]))
        return " · ".join(words)


def _can_be_kept(side: Side) -> bool:
    return side.state is SideState.DONE and bool(side.said.text.strip())
