"""Shows a document that may be long and still growing, drawing no more of it than is seen."""

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from localfp4_tui.markdown.document import Document
from localfp4_tui.markdown.leaf import Leaf, Line
from localfp4_tui.widgets.quick import Quick

KEPT_LEAVES = 80
"""Leaves whose lines stay laid out and drawn, which is what takes memory; a screenful and more."""


class DocumentView(Quick):
    """A document in one widget, however long.

    A widget for each paragraph would make each write, layout and click cost more with every one
    of them. Here a write lays out what is new and draws what is in view.
    """

    @dataclass
    class LinkClicked(Message):
        """A link was clicked; nothing is opened."""

        address: str

    @dataclass
    class CopyClicked(Message):
        """The label of a block of code was clicked."""

        view: "DocumentView"
        number: int

    def __init__(self, document: Document, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.document = document
        self._width = 0
        self._tops: list[int] = []
        self._height = 0
        self._kept: OrderedDict[Leaf, None] = OrderedDict()
        self._is_painting = False

    def add(self, text: str) -> None:
        """Add text to the document and show it."""
        self._show_from(self.document.add(text))

    def finish(self) -> None:
        """Show all there is of a document that grows no more."""
        self._show_from(self.document.finish())

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Take all the width there is."""
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at some width."""
        self._fit(width)
        return self._height

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw lines for the screen.

        Where a character is in the document is only looked for under the mouse. On the screen it
        would make a style of its own of every word, and fill what Rich remembers of styles with
        megabytes that nobody asks for again.
        """
        self._is_painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._is_painting = False

    def render_line(self, y: int) -> Strip:
        """Draw a line of the document."""
        width = self.size.width
        self._fit(width)
        if y >= self._height:
            return Strip.blank(width, self.rich_style)
        line = self._line(y)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(y)) is not None:
            strip = self._drawn(line, width, span)
        else:
            line.strip = strip = line.strip or self._drawn(line, width)
        return strip if self._is_painting else strip.apply_offsets(0, y)

    def notify_style_update(self) -> None:
        """Draw everything anew in the colours of another theme."""
        self._forget_strips()
        super().notify_style_update()

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is selected with the mouse."""
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return what is selected, with lines as they are in the text and without frames."""
        start = selection.start.y if selection.start else 0
        end = selection.end.y if selection.end else self._height
        parts: list[str] = []
        for y in range(max(0, start), min(end + 1, self._height)):
            if (span := selection.get_span(y)) is not None:
                line = self._line(y)
                last = line.end if span[1] == -1 else min(span[1], line.end)
                parts += [line.content.plain[max(span[0], line.start) : last], line.joint]
        return "".join(parts).rstrip(), "\n"

    def action_follow_link(self, address: str) -> None:
        """Tell that a link was clicked."""
        self.post_message(self.LinkClicked(address))

    def action_copy_code(self, number: int) -> None:
        """Tell that a block of code is to be copied."""
        self.post_message(self.CopyClicked(self, number))

    def _show_from(self, index: int) -> None:
        """Show leaves that are new or others, from the first such on."""
        if not self._width:
            self.refresh(layout=True)
            return
        before = self._height
        del self._tops[index:]
        self._measure()
        if self._height != before:
            self.refresh(layout=True)
        elif index < len(self._tops):
            top = self._tops[index]
            self.refresh(Region(0, top, self._width, self._height - top))

    def _fit(self, width: int) -> None:
        if width != self._width:
            self._width = width
            self._tops.clear()
        self._measure()

    def _measure(self) -> None:
        leaves = self.document.leaves
        if len(self._tops) == len(leaves):
            return
        if self._tops:
            last = len(self._tops) - 1
            y = self._tops[last] + leaves[last].height(self._width)
        else:
            y = 0
        for leaf in leaves[len(self._tops) :]:
            self._tops.append(y)
            y += leaf.height(self._width)
            self._keep(leaf)
        self._height = y

    def _line(self, y: int) -> Line:
        index = bisect_right(self._tops, y) - 1
        leaf = self.document.leaves[index]
        self._keep(leaf)
        return leaf.lines(self._width)[y - self._tops[index]]

    def _keep(self, leaf: Leaf) -> None:
        self._kept[leaf] = None
        self._kept.move_to_end(leaf)
        if len(self._kept) > KEPT_LEAVES:
            self._kept.popitem(last=False)[0].release()

    def _drawn(self, line: Line, width: int, selected: tuple[int, int] | None = None) -> Strip:
        content = line.content
        if selected is not None:
            start, end = selected
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            last = line.end if end == -1 else min(end, line.end)
            content = content.stylize(style, max(start, line.start), last)
        strips = Visual.to_strips(self, content, width, 1, self.visual_style, apply_selection=False)
        if not strips:
            return Strip.blank(width, self.rich_style)
        return Strip(map(_without_offset, strips[0])).crop_extend(0, width, self.rich_style)

    def _forget_strips(self) -> None:
        for leaf in self._kept:
            leaf.release()
        self._kept.clear()


def _without_offset(segment: Segment) -> Segment:
    """Return a segment without what a click on it does not need."""
    text, style, control = segment
    if style is None or "@click" in style.meta:
        return segment
    return Segment(text, style.clear_meta_and_links(), control)
