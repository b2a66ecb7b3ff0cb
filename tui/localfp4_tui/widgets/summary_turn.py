"""A summary that stands for all that was said before it."""

from textual.app import ComposeResult
from textual.widgets import Static

from localfp4.history import Turn
from localfp4.text.sanitize import sanitize
from localfp4_tui.widgets.turn_widget import ONLY, Place, TurnWidget


class SummaryTurn(TurnWidget):
    """What the model gets in the place of the turns above."""

    def __init__(self, turn: Turn, place: Place = ONLY) -> None:
        super().__init__(turn, place)
        self.border_title = "What the model gets of the above"

    def compose(self) -> ComposeResult:
        """Lay out the summary."""
        yield Static(sanitize(self.turn.content if self.turn else ""), markup=False)
