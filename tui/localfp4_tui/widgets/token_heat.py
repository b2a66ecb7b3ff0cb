"""The text of an answer, each token shaded the more the less probable it was."""

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import MouseMove
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from localfp4_tui.heat import Heat, HeatToken
from localfp4_tui.heat_lines import HeatLine, lay_out

SHADES = (
    (0.9, ""),
    (0.6, "on $warning 18%"),
    (0.3, "on $warning 36%"),
    (0.1, "underline on $error 33%"),
    (0.0, "bold underline on $error 49%"),
)
"""From which probability on a token is shown how.

The last two are told apart without colours, and no background is bright enough for them to be
reversed there, as the token is that is pointed at.
"""
UNKNOWN = "$text-muted"
DOUBTFUL = 0.6
LEFT_AFTER_S = 0.1
CURSOR = "$block-cursor-foreground on $block-cursor-background"


def shade(token: HeatToken) -> str:
    """Return the style of a token."""
    if (probability := token.probability) is None:
        return UNKNOWN
    return next(style for least, style in SHADES if probability >= least)


class TokenHeat(Widget, can_focus=True):
    """Tokens of an answer, one of which is pointed at by keys or by the mouse.

    Args:
        heat: The tokens.
    """

    FOCUS_ON_CLICK = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Previous token", id="heat.previous"),
        Binding("right", "step(1)", "Next token", id="heat.next"),
        Binding("up", "line(-1)", "Line above", id="heat.up"),
        Binding("down", "line(1)", "Line below", id="heat.down"),
        Binding("home", "go(0)", "First token", id="heat.first"),
        Binding("end", "go(-1)", "Last token", id="heat.last"),
        Binding("n", "doubtful", "Next doubtful token", id="heat.doubtful"),
        Binding("escape", "screen.heat", "Hide the probabilities", id="heat.close"),
    ]

    @dataclass
    class Pointed(Message):
        """Another token is pointed at.

        Attributes:
            heat: Whose.
            number: Which, from 0.
            line: Where it begins; ``None`` where it is in view, since the mouse is there.
        """

        heat: "TokenHeat"
        number: int
        line: int | None

    @dataclass
    class Left(Message):
        """Neither keys nor the mouse point at a token any more."""

        heat: "TokenHeat"

    def __init__(self, heat: Heat) -> None:
        super().__init__()
        self.heat = heat
        self.tokens = heat.tokens
        self.cursor = 0
        self._lines: list[HeatLine] = []
        self._first_lines: dict[int, int] = {}
        self._width = 0

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Take all the width there is."""
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at some width."""
        self._fit(width)
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        width = self.size.width
        self._fit(width)
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        parts = [
            (
                part.text,
                CURSOR if self._is_pointed(part.number) else shade(self.tokens[part.number]),
            )
            for part in self._lines[y].parts
        ]
        content = Content.assemble(*parts)
        strips = Visual.to_strips(self, content, width, 1, self.visual_style)
        strip = strips[0] if strips else Strip.blank(width, self.rich_style)
        return strip.crop_extend(0, width, self.rich_style)

    def on_focus(self) -> None:
        """Point at the token of before."""
        self._point(self.cursor)

    def on_blur(self) -> None:
        """Point at none."""
        self.refresh()
        self.post_message(self.Left(self))

    def on_mouse_move(self, event: MouseMove) -> None:
        """Point at what is below the mouse."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= len(self._lines):
            return
        number = self._lines[offset.y].number_at(offset.x)
        if number is not None and (number != self.cursor or not self.has_focus):
            self._point(number, in_view=True)

    def on_leave(self) -> None:
        """Point at none, if the mouse does not come back at once.

        It leaves and enters again where the screen is laid out anew, as for what is shown of a
        token.
        """
        self.set_timer(LEFT_AFTER_S, self._leave)

    def action_step(self, step: int) -> None:
        """Point at a token before or behind."""
        self._point(self.cursor + step)

    def action_go(self, number: int) -> None:
        """Point at the first token, or at the last."""
        self._point(number % len(self.tokens))

    def action_line(self, step: int) -> None:
        """Point at the token above or below."""
        y = self._first_lines.get(self.cursor, 0)
        x = self._lines[y].column_of(self.cursor)
        for line in self._lines[y + 1 :] if step > 0 else self._lines[:y][::-1]:
            if (number := line.number_at(x, nearest=True)) is not None and number != self.cursor:
                self._point(number)
                return

    def action_doubtful(self) -> None:
        """Point at the next token that was less probable than most, from the first on again."""
        count = len(self.tokens)
        for number in (*range(self.cursor + 1, count), *range(self.cursor)):
            probability = self.tokens[number].probability
            if probability is not None and probability < DOUBTFUL:
                self._point(number)
                return

    def _point(self, number: int, *, in_view: bool = False) -> None:
        number = min(max(number, 0), len(self.tokens) - 1)
        self._refresh_token(self.cursor)
        self.cursor = number
        self._refresh_token(number)
        line = None if in_view else self._first_lines.get(number, 0)
        self.post_message(self.Pointed(self, number, line))

    def _leave(self) -> None:
        if not self.has_focus and not self.is_mouse_over:
            self.refresh()
            self.post_message(self.Left(self))

    def _is_pointed(self, number: int) -> bool:
        return number == self.cursor and (self.has_focus or self.is_mouse_over)

    def _refresh_token(self, number: int) -> None:
        """Draw the lines of a token again."""
        first = self._first_lines.get(number, 0)
        last = self._first_lines.get(number + 1, len(self._lines) - 1)
        self.refresh(Region(0, first, self.size.width, last - first + 1))

    def _fit(self, width: int) -> None:
        if width == self._width or width <= 0:
            return
        self._width = width
        self._lines = lay_out([token.text for token in self.tokens], width)
        self._first_lines.clear()
        for y, line in enumerate(self._lines):
            for part in line.parts:
                self._first_lines.setdefault(part.number, y)
