"""One sampling setting: its name, a field for the user's value, and where the value comes from."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from localfp4.errors import RequestError
from localfp4_tui.sampling import parse_value, shown


class SettingField(Horizontal):
    """An empty field stands for the model's own value, which it then shows."""

    def __init__(self, name: str, models: float | None, own: str) -> None:
        super().__init__()
        self.setting = name
        self._models = shown(models)
        self._input = Input(own, placeholder=self._models, compact=True, select_on_focus=False)
        self._note = Static(markup=False, classes="note")

    def compose(self) -> ComposeResult:
        """Lay out the three."""
        yield Static(self.setting, classes="name", markup=False)
        yield self._input
        yield self._note

    def on_mount(self) -> None:
        """Tell where the value comes from."""
        self.show_source()

    @property
    def is_own(self) -> bool:
        """Whether the user has set a value."""
        return bool(self._input.value.strip())

    def value(self) -> float | None:
        """Return what the user has set.

        Raises:
            RequestError: It is malformed or out of range.
        """
        return parse_value(self.setting, self._input.value.strip())

    def reset(self) -> None:
        """Go back to the model's own value."""
        self._input.clear()

    @on(Input.Changed)
    def show_source(self) -> None:
        """Tell where the value comes from, or what is wrong with it."""
        wrong, note = "", "the model's"
        if self.is_own:
            note = f"yours · model's {self._models}"
            try:
                self.value()
            except RequestError as error:
                wrong = str(error)
        self.set_class(bool(wrong), "-wrong")
        self.set_class(self.is_own, "-own")
        self._note.update(f"✗ {wrong}" if wrong else note)
