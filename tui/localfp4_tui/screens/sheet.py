"""A sheet laid over the chat: rows of names and values under headings, closed by any Escape."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.text.sanitize import sanitize

Section = tuple[str, list[tuple[str, str]]]


class SheetScreen(ModalScreen[None]):
    """Shows sections of rows; used for the figures of the model."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,f1,q", "dismiss", "Close", id="sheet.close"),
    ]

    def __init__(self, sections: list[Section]) -> None:
        super().__init__()
        self._sections = [section for section in sections if section[1]]

    def compose(self) -> ComposeResult:
        """Lay out the sections."""
        with VerticalScroll() as sheet:
            sheet.border_subtitle = "esc closes"
            width = max((len(name) for _, rows in self._sections for name, _ in rows), default=0)
            for heading, rows in self._sections:
                yield Static(heading, classes="heading", markup=False)
                for name, value in rows:
                    yield SheetRow(name, value, width)


class SheetRow(Horizontal):
    """A name and a value beside it, which wraps within its own column."""

    def __init__(self, name: str, value: str, name_width: int) -> None:
        super().__init__()
        self._label = Static(sanitize(name), classes="name", markup=False)
        self._label.styles.width = name_width + 2
        self._value = Static(sanitize(value), classes="value", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out both."""
        yield self._label
        yield self._value
