"""The scrolling column of everything said, of which only what is near the view exists."""

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import AwaitMount, Widget

from localfp4.history import Turn
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.quick import Quick
from localfp4_tui.widgets.rows_column import Row, RowsColumn
from localfp4_tui.widgets.summary_turn import SummaryTurn
from localfp4_tui.widgets.turn_widget import Place, TurnWidget
from localfp4_tui.widgets.user_turn import UserTurn


class Transcript(VerticalScroll, Quick):
    """Turns, answers and panels, one below the other.

    It follows its end until the user scrolls up, and again once they are back at the end. Turns
    that are far from the view have no widgets, so that a thousand of them cost what ten do.
    """

    can_focus = False

    def __init__(self) -> None:
        super().__init__()
        self._column = RowsColumn(lambda: int(self.scroll_y), self._after_layout)
        self._rows = self._column.rows
        self._is_looking = False

    def compose(self) -> ComposeResult:
        """Lay out the column."""
        yield self._column

    def on_mount(self) -> None:
        """Follow the end."""
        self.follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Have what comes near exist."""
        super().watch_scroll_y(old_value, new_value)
        self._after_layout()

    def add(self, widget: Widget, *, after: Widget | None = None) -> AwaitMount:
        """Put a widget at the end, or after another."""
        rows = self._rows
        rows.keep(lambda row: row.is_wanted)
        index = len(rows.items) if after is None else self._column.row_of(after) + 1
        rows.insert(index, Row(widget), 1)
        return self._column.mount(widget, before=self._column.next_widget(index))

    async def show(self, turns: Sequence[Turn], place: Callable[[Turn], Place]) -> None:
        """Put these turns in the place of everything on the screen, and follow the end.

        Args:
            turns: From the first to the last; few of them are looked at.
            place: Says which of the alternatives a turn is.
        """
        if self.selected is not None:
            self.screen.set_focus(None)
            self.screen.focus_next()
        self._rows.keep(lambda row: False)
        removed = self._column.remove_children()
        self._rows.origin = 0
        for index, turn in enumerate(turns):
            row = Row(turn=turn, place=place(turn))
            self._rows.insert(index, row, self._column.estimate(turn))
        for index in self._rows.near(self._rows.bottom - self._screen, self._screen):
            self._bring(index)
        await removed
        self._column.refresh(layout=True)
        self.follow()

    def follow(self) -> None:
        """Jump to the end and follow it again."""
        self.anchor()

    @property
    def is_following(self) -> bool:
        """Whether the end is in view and stays there."""
        return self.is_anchored and self.scroll_y >= self.max_scroll_y

    def turn_widget(self, turn_id: int) -> TurnWidget | None:
        """Return the widget of a turn, which exists from now on; ``None`` for one not shown."""
        index = self._index(turn_id)
        return None if index is None else self._bring(index)

    @property
    def turn_ids(self) -> list[int]:
        """The turns that are shown, from top to bottom."""
        self._rows.keep(lambda row: row.is_wanted)
        turns = (_turn(row) for row in self._rows.items)
        return [turn.id for turn in turns if turn is not None]

    @property
    def newest_answer(self) -> Answer | None:
        """The widget of the last answer, which exists from now on; ``None`` without any."""
        self._rows.keep(lambda row: row.is_wanted)
        for index, row in reversed(list(enumerate(self._rows.items))):
            if isinstance(row.widget, Answer):
                return row.widget
            if row.turn is not None and row.turn.role == "assistant":
                answer = self._bring(index)
                assert isinstance(answer, Answer)
                return answer
        return None

    @property
    def selected(self) -> TurnWidget | None:
        """The turn that is selected, or in which something is; or ``None``."""
        if (focused := self.screen.focused) is None:
            return None
        within = focused.ancestors_with_self
        return next((node for node in within if isinstance(node, TurnWidget)), None)

    def select(self, turn_id: int) -> None:
        """Select a turn and scroll to it."""
        index = self._index(turn_id)
        if index is None:
            return
        self._bring(index).focus(scroll_visible=False)
        top, height = self._rows.tops[index], self._rows.heights[index]
        if top < self.scroll_y or height > self._screen:
            self.scroll_to(y=top, animate=False, immediate=True)
        elif top + height > self.scroll_y + self._screen:
            self.scroll_to(y=top + height - self._screen, animate=False, immediate=True)

    def forget_heat(self) -> None:
        """Have answers that are far from the view come back with their text, not their tokens."""
        for row in self._rows.items:
            row.heat = None

    @property
    def _screen(self) -> int:
        return self.size.height or self.app.size.height

    def _index(self, turn_id: int) -> int | None:
        self._rows.keep(lambda row: row.is_wanted)
        for index, row in enumerate(self._rows.items):
            if (turn := _turn(row)) is not None and turn.id == turn_id:
                return index
        return None

    def _after_layout(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self.call_after_refresh(self._look)

    def _look(self) -> None:
        """Let turns near the view exist and those far from it go, and settle the column."""
        self._is_looking = False
        if not self._column.is_attached:
            return
        rows = self._rows
        rows.keep(lambda row: row.is_wanted)
        seen = int(self.scroll_y)
        not_far = rows.not_far(seen, self._screen)
        for index, row in enumerate(rows.items):
            if row.widget is not None and index not in not_far:
                _take_down(row)
        for index in rows.near(seen, self._screen):
            if rows.items[index].turn is not None:
                self._bring(index)
        if rows.origin:
            self._settle()

    def _settle(self) -> None:
        """Move column and view together, which nobody sees."""
        y = max(0.0, self.scroll_y + self._rows.settle())
        self.set_reactive(Widget.scroll_y, y)
        self.set_reactive(Widget.scroll_target_y, y)
        self.vertical_scrollbar.position = y
        self._column.refresh(layout=True)

    def _bring(self, index: int) -> TurnWidget:
        row = self._rows.items[index]
        if row.widget is None:
            assert row.turn is not None
            row.widget = _widget(row, row.turn)
            row.turn = row.heat = None
            row.widget.fold(not row.is_unfolded)
            self._column.mount(row.widget, before=self._column.next_widget(index))
        assert isinstance(row.widget, TurnWidget)
        return row.widget


def _turn(row: Row) -> Turn | None:
    return row.widget.turn if isinstance(row.widget, TurnWidget) else row.turn


def _take_down(row: Row) -> None:
    """Remove the widget of a turn from which it can be made again."""
    widget = row.widget
    if not isinstance(widget, TurnWidget) or widget.turn is None:
        return
    if not widget.is_growing and not widget.has_focus_within:
        row.turn, row.place, row.is_unfolded = widget.turn, widget.place, widget.is_unfolded
        if isinstance(widget, Answer) and widget.heat is not None:
            row.heat = widget.heat.heat
        row.widget = None
        widget.remove()


def _widget(row: Row, turn: Turn) -> TurnWidget:
    if turn.role == "user":
        return UserTurn(turn.content, turn=turn, place=row.place)
    if turn.role == "summary":
        return SummaryTurn(turn, row.place)
    return Answer.of(turn, row.place, row.heat)
