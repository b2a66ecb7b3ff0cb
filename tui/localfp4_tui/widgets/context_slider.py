"""A slider for the length of the context, each cell a little longer than the one before."""

from dataclasses import dataclass
from math import log2

from textual.content import Content
from textual.events import Click, MouseMove
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from localfp4_tui.fit_view import LEAST_CONTEXT
from localfp4_tui.formatting import format_count

PAGE = 64
"""Contexts are whole pages of the KV cache."""


class ContextSlider(Widget):
    """Shows a context between the shortest and the longest one; a click or a drag moves it.

    Doubling is always as far, so that short contexts can be chosen as finely as long ones.
    """

    tokens: reactive[int] = reactive(LEAST_CONTEXT)
    most: reactive[int] = reactive(LEAST_CONTEXT)

    @dataclass
    class Moved(Message):
        """The user wants another context."""

        tokens: int

    @property
    def least(self) -> int:
        """The context at the left end."""
        return min(LEAST_CONTEXT, self.most)

    def share(self, tokens: int) -> float:
        """Return where a context lies, from 0 at the left to 1 at the right."""
        if self.most <= self.least:
            return 1.0
        doublings = log2(self.most / self.least)
        return min(max(log2(max(tokens, 1) / self.least) / doublings, 0.0), 1.0)

    def tokens_at(self, share: float) -> int:
        """Return the context at a place: whole pages, and the ends as they are."""
        if share >= 1 or self.most <= self.least:
            return self.most
        exact = self.least * 2 ** (max(share, 0.0) * log2(self.most / self.least))
        return min(max(round(exact / PAGE) * PAGE, self.least), self.most)

    def moved(self, cells: int) -> int:
        """Return the context so many cells away; always another one, unless it is at an end."""
        last = max(self._bar_width - 1, 1)
        there = self.tokens_at(self.share(self.tokens) + cells / last)
        if there == self.tokens:
            there = min(max(self.tokens + (PAGE if cells > 0 else -PAGE), self.least), self.most)
        return there

    def render(self) -> Content:
        """Return the slider, and the ends below."""
        width = self._bar_width
        at = round(self.share(self.tokens) * (width - 1))
        least, most = format_count(self.least), format_count(self.most)
        gap = " " * max(width - len(least) - len(most), 1)
        return Content.assemble(
            ("━" * at, "$primary"),
            ("●", "bold $text-primary"),
            ("━" * (width - 1 - at), "$foreground 20%"),
            "\n",
            (f"{least}{gap}{most}", "$foreground 60%"),
        )

    def on_click(self, event: Click) -> None:
        """Move to where was clicked."""
        self._go_to(event.get_content_offset_capture(self).x)

    def on_mouse_move(self, event: MouseMove) -> None:
        """Follow a drag."""
        if event.button:
            self._go_to(event.get_content_offset_capture(self).x)

    def _go_to(self, x: int) -> None:
        self.post_message(self.Moved(self.tokens_at(x / max(self._bar_width - 1, 1))))

    @property
    def _bar_width(self) -> int:
        return max(self.content_size.width, 2)
