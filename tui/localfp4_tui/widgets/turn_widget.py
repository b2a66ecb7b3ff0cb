"""What the turns on the screen have in common: they can be selected, and then take keys."""

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key

from localfp4.history import Turn
from localfp4_tui.widgets.quick import Quick


@dataclass(frozen=True, slots=True)
class Place:
    """Which of how many alternatives a turn is, counting from 1."""

    number: int = 1
    count: int = 1

    @property
    def label(self) -> str:
        """Return it as ``◂ 2/3 ▸``; empty where there is no choice."""
        return f"◂ {self.number}/{self.count} ▸" if self.count > 1 else ""


ONLY = Place()


class TurnWidget(Vertical, Quick, can_focus=True):
    """One turn; the selected one is the one that has the focus.

    It takes the focus by keys alone: a click would take it from the prompt in the midst of
    writing, and the next letters would be commands.

    Attributes:
        turn: What it shows; ``None`` for a message that waits to be sent.
        place: Which of the alternatives it is.
        is_growing: Whether it still changes, and so cannot be made anew from its turn.
    """

    FOCUS_ON_CLICK = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "screen.copy_turn", "Copy this turn", id="turn.copy"),
        Binding("e", "screen.edit_turn", "Edit as a new branch", id="turn.edit"),
        Binding("c", "screen.continue_answer", "Go on with this answer", id="turn.continue"),
        Binding("r", "screen.regenerate", "Answer again", id="turn.regenerate"),
        Binding("p", "screen.heat", "Shade tokens by probability", id="turn.heat"),
        Binding("d", "screen.diff", "Compare with the alternative", id="turn.diff"),
        Binding("left,[", "screen.other_turn(-1)", "Previous alternative", id="turn.previous"),
        Binding("right,]", "screen.other_turn(1)", "Next alternative", id="turn.next"),
        Binding("t,enter", "screen.fold", "Fold or unfold the thinking", id="turn.fold"),
        Binding("escape", "screen.leave_turn", "Back to the prompt", id="turn.leave"),
        *(
            Binding(
                str(number),
                f"screen.copy_code('{number}')",
                f"Copy code block {number}",
                id=f"turn.code_{number}",
                show=False,
            )
            for number in range(1, 10)
        ),
    ]

    def __init__(self, turn: Turn | None, place: Place) -> None:
        super().__init__()
        self.turn = turn
        self.place = place
        self.is_growing = False

    async def on_key(self, event: Key) -> None:
        """Hand characters that are no key of a turn to the prompt, in the order they came."""
        is_key_of_turn = self.has_focus_within and event.key in self.screen.active_bindings
        if event.is_printable and event.character is not None and not is_key_of_turn:
            event.stop()
            event.prevent_default()
            await self.app.run_action(("", "write", (event.character,)), self.screen)

    @property
    def is_unfolded(self) -> bool:
        """Whether what is folded at first is shown."""
        return False

    def fold(self, folded: bool) -> None:
        """Hide or show what can be folded; there is nothing here."""
