"""The settings of a chat: how tokens are chosen, how much is thought, and the system prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import DescendantFocus
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from localfp4.config import SamplingParams
from localfp4.messages import Thinks
from localfp4.text.sanitize import sanitize
from localfp4_tui.sampling import SETTABLE, shown
from localfp4_tui.thinking_choice import remarks
from localfp4_tui.widgets.choice_row import ChoiceRow
from localfp4_tui.widgets.setting_field import SettingField

_KEYS = "Esc keeps all and closes · ^R the model's value · ^L all of the model's"
_SYSTEM = "Instructions that precede the conversation"


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What the screen shows and changes.

    Attributes:
        overrides: Sampling fields that the user has set.
        thinking: How much the model thinks: a word of :data:`~localfp4_tui.thinking_choice.CHOICES`.
        system: The system prompt; empty for none.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    thinking: str = "auto"
    system: str = ""


class SettingsScreen(ModalScreen[ChatSettings]):
    """Shows the model's own sampling with the user's on top; closes with what is to hold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f2,ctrl+s", "keep", "Keep and close", id="settings.close"),
        Binding("ctrl+r", "reset", "The model's value", id="settings.reset"),
        Binding("ctrl+l", "reset_all", "All values of the model's", id="settings.reset_all"),
        Binding("down", "app.focus_next", "Next setting", id="settings.next"),
        Binding("up", "app.focus_previous", "Previous setting", id="settings.previous"),
    ]

    def __init__(self, models: SamplingParams, settings: ChatSettings, thinks: Thinks) -> None:
        super().__init__()
        self._fields = [
            SettingField(
                name,
                getattr(models, name),
                shown(settings.overrides[name]) if name in settings.overrides else "",
            )
            for name in SETTABLE
        ]
        self._thinking = ChoiceRow("thinking", remarks(thinks), settings.thinking)
        self._system = TextArea(settings.system, compact=True, placeholder=_SYSTEM)
        self._hint = Static(markup=False, classes="hint")

    def compose(self) -> ComposeResult:
        """Lay out a line for each setting."""
        with Vertical() as sheet:
            sheet.border_title = "Settings of this chat"
            with VerticalScroll(can_focus=False):
                yield from self._fields
                yield self._thinking
                yield Static("system prompt", classes="label", markup=False)
                yield self._system
            yield self._hint

    @on(DescendantFocus)
    def explain(self) -> None:
        """Say what the setting does that has the focus, and what the keys do."""
        row = self._focused_field()
        self._hint.update(f"{SETTABLE[row.setting]} · {_KEYS}" if row else _KEYS)

    @on(Input.Submitted)
    def go_on(self) -> None:
        """Go to the next setting."""
        self.focus_next()

    def action_reset(self) -> None:
        """Go back to the model's own value of one setting."""
        if (row := self._focused_field()) is not None:
            row.reset()

    def action_reset_all(self) -> None:
        """Go back to the model's own values."""
        for row in self._fields:
            row.reset()

    def action_keep(self) -> None:
        """Close and keep what was set; a value that cannot be is gone back to instead."""
        if wrong := self.query("SettingField.-wrong"):
            wrong.first().query_one(Input).focus()
            return
        overrides = {row.setting: row.value() for row in self._fields if row.is_own}
        system = sanitize(self._system.text).strip()
        self.dismiss(ChatSettings(overrides, self._thinking.word, system))

    def _focused_field(self) -> SettingField | None:
        parent = self.focused.parent if self.focused is not None else None
        return parent if isinstance(parent, SettingField) else None
