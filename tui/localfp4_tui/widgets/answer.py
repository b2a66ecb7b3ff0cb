"""One answer of the model: what it thought, what it says, what it calls, and a line of figures."""

import json
from collections.abc import Sequence
from contextlib import suppress

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from localfp4.history import Turn
from localfp4.messages import ToolCall
from localfp4_tui.formatting import format_rate, format_seconds, one_line
from localfp4_tui.heat import Heat
from localfp4_tui.markdown.document import MarkdownDocument
from localfp4_tui.thinking import Thinking
from localfp4_tui.widgets.document_view import DocumentView
from localfp4_tui.widgets.thought import Thought
from localfp4_tui.widgets.token_heat import TokenHeat
from localfp4_tui.widgets.turn_widget import ONLY, Place, TurnWidget

END_IN_WORDS = {
    "stop": "stop",
    "length": "length limit",
    "tool_calls": "tool call",
    "cancelled": "stopped",
}


class Answer(TurnWidget):
    """Shows an answer while it is written and once it is done.

    Its text stays clear of the columns in which its other lines begin, so that no text can pass
    for one of them.

    Args:
        turn: The answer as it is before the first :meth:`append`; it may have text already.
        place: Which of the alternatives it is.
    """

    def __init__(self, turn: Turn, place: Place = ONLY) -> None:
        super().__init__(turn, place)
        self._document = MarkdownDocument()
        self._document.add(turn.content)
        self._view = DocumentView(self._document, classes="words")
        self._thought = Thought()
        self._calls = Static(classes="calls", markup=False)
        self._figures = Static("…", classes="figures", markup=False)
        self._heat: TokenHeat | None = None
        self.is_growing = True
        self._thought.show(turn.reasoning, turn.thinking_s, turn.thinking_tokens, is_over=True)
        self._shown_calls: Sequence[ToolCall] = ()
        self.show_calls(turn.tool_calls)

    @classmethod
    def of(cls, turn: Turn, place: Place = ONLY, heat: Heat | None = None) -> "Answer":
        """Return the widget of a complete answer, which may show its tokens."""
        answer = cls(turn, place)
        answer.close(turn, place)
        answer._hold_heat(heat)
        return answer

    def compose(self) -> ComposeResult:
        """Lay out the parts, top to bottom."""
        yield self._thought
        yield self._view
        if self._heat is not None:
            yield self._heat
        yield self._calls
        yield self._figures

    @property
    def codes(self) -> list[str]:
        """The blocks of code by which it is copied in parts."""
        return self._document.codes

    @property
    def has_thought(self) -> bool:
        """Whether the model thought before it answered."""
        return self._thought.display

    @property
    def is_unfolded(self) -> bool:
        """Whether the reasoning is shown."""
        return self._thought.is_unfolded

    def fold(self, folded: bool) -> None:
        """Hide or show what the model thought."""
        self._thought.fold(folded)

    @property
    def heat(self) -> TokenHeat | None:
        """What shows how probable its tokens were; ``None`` while that is not shown."""
        return self._heat

    async def show_heat(self, heat: Heat | None) -> None:
        """Show the tokens of the text in the place of the text, or the text again.

        Args:
            heat: The tokens; ``None`` shows the text.
        """
        if self._heat is not None:
            await self._heat.remove()
        self._hold_heat(heat)
        if self._heat is not None:
            await self.mount(self._heat, after=self._view)

    async def append(self, text: str, output_tokens: int) -> None:
        """Add sanitised text, and say how many tokens there are by now."""
        if text:
            self._view.add(text)
        if output_tokens:
            self._figures.update(f"{output_tokens} tok …", layout=False)

    def show_thinking(self, thinking: Thinking) -> None:
        """Show, in one line, what the model thinks, and then for how long it did."""
        self._thought.show(
            thinking.text, thinking.duration_s, thinking.tokens, is_over=thinking.is_over
        )

    def show_calls(self, calls: Sequence[ToolCall]) -> None:
        """Show what the answer calls so far."""
        self._calls.display = bool(calls)
        if len(calls) != len(self._shown_calls):
            self._shown_calls = tuple(calls)
            self._calls.update(Content("\n").join(_call(call) for call in calls))

    def show_stopping(self) -> None:
        """Say that the answer is being stopped."""
        self._figures.update("stopping …", layout=False)

    def close(self, turn: Turn, place: Place = ONLY) -> None:
        """Show the figures of a complete answer, or mark one that ended before its time."""
        self.turn = turn
        self.place = place
        self.is_growing = False
        self._view.finish()
        self.show_calls(turn.tool_calls)
        self.set_class(turn.finish is None, "-broken")
        self._figures.update(" · ".join(_figures(turn, place)), layout=False)

    def show_place(self, place: Place) -> None:
        """Show which of the alternatives this is now."""
        assert self.turn is not None
        self.place = place
        self._figures.update(" · ".join(_figures(self.turn, place)), layout=False)

    def _hold_heat(self, heat: Heat | None) -> None:
        self._heat = None if heat is None else TokenHeat(heat)
        self._view.display = heat is None


def _figures(turn: Turn, place: Place) -> list[str]:
    words = [f"{turn.output_tokens} tok"]
    if turn.tokens_per_s:
        words.append(format_rate(turn.tokens_per_s))
    if turn.ttft_s:
        words.append(f"TTFT {format_seconds(turn.ttft_s)}")
    words.append(END_IN_WORDS[turn.finish] if turn.finish is not None else "broken off")
    if turn.joules is not None:
        words.append(f"{turn.joules:.0f} J" if turn.joules >= 10 else f"{turn.joules:.1f} J")
    if place.label:
        words.append(place.label)
    return words


def _call(call: ToolCall) -> Content:
    """Return a call as it would be written in a program, or as it came if it is no object."""
    words = call.arguments
    with suppress(ValueError, RecursionError):
        if isinstance(arguments := json.loads(words), dict):
            named = ((name, json.dumps(arguments[name], ensure_ascii=False)) for name in arguments)
            words = ", ".join(f"{name}={value}" for name, value in named)
    return Content.assemble(
        ("⚒ ", "$text-accent"), (one_line(call.name), "bold"), f"({one_line(words)})"
    )
