"""Two versions of a turn compared, laid over the chat."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.history import Turn
from localfp4.text.sanitize import sanitize
from localfp4_tui.keys import key_name
from localfp4_tui.word_diff import Kind, Piece, word_diff

STYLES: dict[Kind, str] = {
    "same": "",
    "removed": "$text-error strike on $error-muted",
    "added": "bold $text-success on $success-muted",
}


class DiffScreen(ModalScreen[None]):
    """Shows what one alternative has that another had not, word by word.

    Args:
        alternatives: At least two turns.
        shown: Id of the one on the screen, which is compared with the one before it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "old(-1)", "Compare with an earlier version", id="diff.old_previous"),
        Binding("right", "old(1)", "Compare with a later version", id="diff.old_next"),
        Binding("left_square_bracket", "new(-1)", "Show an earlier one", id="diff.new_previous"),
        Binding("right_square_bracket", "new(1)", "Show a later one", id="diff.new_next"),
        Binding("up", "scroll('scroll_up')", "Up", show=False),
        Binding("down", "scroll('scroll_down')", "Down", show=False),
        Binding("pageup", "scroll('scroll_page_up')", "Page up", show=False),
        Binding("pagedown,space", "scroll('scroll_page_down')", "Page down", show=False),
        Binding("escape,enter,d,q", "dismiss", "Close", id="diff.close"),
    ]

    def __init__(self, alternatives: Sequence[Turn], *, shown: int) -> None:
        super().__init__()
        self._turns = alternatives
        self._new = next(i for i, turn in enumerate(alternatives) if turn.id == shown)
        self._old = self._new - 1 if self._new else 1
        self._heading = Static(classes="heading", markup=False)
        self._text = Static(markup=False)
        self._sheet = VerticalScroll(self._text, can_focus=False)

    def compose(self) -> ComposeResult:
        """Lay out which two are compared over what came of it."""
        yield self._heading
        yield self._sheet

    def on_mount(self) -> None:
        """Show the first comparison."""
        self._compare()

    def action_old(self, step: int) -> None:
        """Compare with another version."""
        self._old = self._stepped(self._old, step, skipped=self._new)
        self._compare()

    def action_new(self, step: int) -> None:
        """Show another version."""
        self._new = self._stepped(self._new, step, skipped=self._old)
        self._compare()

    def action_scroll(self, how: str) -> None:
        """Scroll the text."""
        getattr(self._sheet, how)(animate=False)

    @work(exclusive=True, group="compare")
    async def _compare(self) -> None:
        old, new = (
            sanitize(self._turns[self._old].content),
            sanitize(self._turns[self._new].content),
        )
        self._heading.update(self._words())
        pieces = await asyncio.to_thread(word_diff, old, new)
        if all(piece.kind == "same" for piece in pieces):
            self._text.update(Content.styled("Both have the same words.\n\n", "$text-muted") + new)
        else:
            self._text.update(Content.assemble(*(_part(piece) for piece in pieces)))
        self._sheet.scroll_home(animate=False)

    def _words(self) -> Content:
        count = len(self._turns)
        keys = f"{key_name(self, 'diff.close')} closes"
        if count > 2:
            old, new = (
                f"{key_name(self, f'diff.{which}_previous')} {key_name(self, f'diff.{which}_next')}"
                for which in ("old", "new")
            )
            keys = f"{old} first · {new} second · {keys}"
        return Content.assemble(
            (f" {self._old + 1}/{count} ", STYLES["removed"]),
            " → ",
            (f" {self._new + 1}/{count} ", STYLES["added"]),
            (f"  {keys}", "$text-muted"),
        )

    def _stepped(self, index: int, step: int, *, skipped: int) -> int:
        """Return the next index in a direction, or the same one where there is none."""
        index_there = index + step
        if index_there == skipped:
            index_there += step
        return index_there if 0 <= index_there < len(self._turns) else index


def _part(piece: Piece) -> tuple[str, str]:
    """Return a piece in its style; what was at the end keeps a distance from what is there now."""
    is_apart = piece.kind != "removed" or piece.text[-1].isspace()
    return piece.text if is_apart else f"{piece.text} ", STYLES[piece.kind]
