"""The list of models: what is here, what fits, and what can be had from the hub."""

import asyncio
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localfp4.errors import UserError
from localfp4.reports import Choice, ModelEntry
from localfp4.text.sanitize import sanitize
from localfp4_tui.backend import Backend
from localfp4_tui.download import Download
from localfp4_tui.keys import key_name
from localfp4_tui.looking import ASKED, look_from_afar, look_into
from localfp4_tui.model_row import ModelRow, is_hub_id
from localfp4_tui.screens.fit import FitScreen
from localfp4_tui.widgets.filter_input import FilterInput

_KEYS = {
    "picker.choose": "load or download",
    "picker.pause": "pause",
    "picker.fit": "fit",
    "picker.close": "close",
}


class PickerScreen(ModalScreen[Choice | None]):
    """Lets the user choose a model; closes with the choice, and pauses what it downloads.

    The rows stand there at once. What the headers of each model tell, and whether it fits, is
    filled in one row after the other.

    Attributes:
        paused: The models whose downloads were paused by closing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+o", "close", "Close", id="picker.close", priority=True),
        Binding("enter", "choose", "Load or download", id="picker.choose", priority=True),
        Binding("space", "pause", "Pause or go on", id="picker.pause", priority=True),
        Binding("ctrl+f", "fit", "Memory by context", id="picker.fit", priority=True),
        Binding("up", "move('cursor_up')", "Up", id="picker.up", priority=True),
        Binding("down", "move('cursor_down')", "Down", id="picker.down", priority=True),
        Binding("pageup", "move('page_up')", "Page up", id="picker.page_up", priority=True),
        Binding("pagedown", "move('page_down')", "Page down", id="picker.page_down", priority=True),
    ]

    def __init__(self, backend: Backend, *, loaded: str | None, typed: str = "") -> None:
        """Show the models of a backend.

        Args:
            backend: Whose models.
            loaded: Which of them the chat runs on.
            typed: What is to be looked for at first.
        """
        super().__init__()
        self._backend = backend
        self._loaded = loaded
        self.paused: list[str] = []
        self._rows: dict[str, ModelRow] = {}
        self._is_of_server = False
        self._filter = FilterInput(
            sanitize(typed), placeholder="type to find, or org/name to download"
        )
        self._list = OptionList(compact=True, markup=False)
        self._list.can_focus = False
        self._told = Static(markup=False, classes="told")
        self._hint = Static(markup=False, classes="hint")

    def compose(self) -> ComposeResult:
        """Lay out the filter, the list, and what is told of the row that is marked."""
        with Vertical() as sheet:
            sheet.border_title = "Models"
            yield self._filter
            yield self._list
            yield self._told
            yield self._hint

    def on_mount(self) -> None:
        """Look for models."""
        self._hint.update(self._words_of_keys(*_KEYS))
        self.look_for_models()

    @work(exclusive=True, group="facts")
    async def look_for_models(self) -> None:
        """List the models, and then look into each that is here."""
        entries = await asyncio.to_thread(self._backend.models)
        if any(entry.server for entry in entries):
            self._is_of_server = True
            self._filter.placeholder = "type to find"
            self._hint.update(self._words_of_keys("picker.choose", "picker.close"))
        for entry in entries:
            is_loaded = self._loaded is not None and entry.is_named(self._loaded)
            self._rows[entry.name] = ModelRow(entry, is_loaded=is_loaded)
        self._show_rows()
        for row in [row for row in self._rows.values() if row.is_here]:
            await self._look_into(row)

    @on(Input.Changed)
    def _show_rows(self) -> None:
        """List what matches what was typed, and offer to download what looks like an id."""
        typed = self._filter.value.strip()
        found = [row for row in self._rows.values() if row.matches(typed)]
        if is_hub_id(typed) and typed not in self._rows and not self._is_of_server:
            found.append(ModelRow(ModelEntry(typed, is_local=False)))
        marked = self._list.highlighted_option
        width = self._row_width
        self._list.set_options(Option(row.content(width), row.entry.name) for row in found)
        names = [row.entry.name for row in found]
        before = names.index(marked.id) if marked is not None and marked.id in names else 0
        self._list.highlighted = before if found else None
        self._tell()

    @on(OptionList.OptionHighlighted)
    def _tell(self) -> None:
        """Tell more of the row that is marked."""
        row = self._marked()
        self._told.update(sanitize(row.explanation()) if row is not None else self._nothing)

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def on_resize(self) -> None:
        """Lay the rows out anew."""
        self.call_after_refresh(self._show_rows)

    def action_move(self, where: str) -> None:
        """Move the mark while the filter keeps the focus."""
        getattr(self._list, f"action_{where}")()

    def action_choose(self) -> None:
        """Load the model that is marked, or bring it here first.

        One that does not fit as it is shows what would; one that cannot run is refused here, so
        that the one that runs is not ended for it.
        """
        row = self._marked()
        if row is None or row.is_downloading:
            return
        if not row.entry.is_local:
            self._download(row)
        elif row.is_loaded:
            self._leave(None)
        elif row.error:
            self.app.bell()
        elif row.fit is not None and not row.fit.fits:
            self.action_fit()
        else:
            self._leave(Choice(row.entry.name))

    def action_pause(self) -> None:
        """Pause the download of the row that is marked, or go on with it."""
        row = self._marked()
        if row is None or row.entry.is_local:
            return
        if row.download is not None and row.is_downloading:
            row.download.pause()
            self._redraw(row)
        elif row.download is not None or row.entry.present_bytes:
            self._download(row)

    @work
    async def action_fit(self) -> None:
        """Show what fits by length of context, and load the model with the one that is chosen.

        Of one that is not here, its headers are asked for, and told is whether it would fit.
        """
        row = self._marked()
        if row is None:
            return
        if not row.entry.is_local:
            await self._look_from_afar(row)
            return
        choice = await self.app.push_screen_wait(FitScreen(self._backend, Choice(row.entry.name)))
        if choice is not None:
            self._leave(choice)

    def action_close(self) -> None:
        """Close without a choice."""
        self._leave(None)

    def _leave(self, choice: Choice | None) -> None:
        """Close, and pause what is being downloaded: nothing is to fill the disk unseen."""
        for name, row in self._rows.items():
            if row.download is not None and row.is_downloading:
                row.download.pause()
                self.paused.append(name)
        self.dismiss(choice)

    @work
    async def _download(self, row: ModelRow) -> None:
        """Bring a model here, showing how far it is; at the end its row is like any other."""
        row = self._rows.setdefault(row.entry.name, row)
        row.error = row.asked = ""
        row.download = row.download or Download(self._backend, row.entry.name)
        try:
            async for _ in row.download.run():
                self._redraw(row)
        except UserError as error:
            row.error = str(error)
            row.download = None
        if row.download is not None and row.download.is_done:
            whole = row.download.meter.progress.total_bytes or row.entry.size_bytes
            row.entry = replace(row.entry, is_local=True, size_bytes=whole)
            await self._look_into(row)
        self._redraw(row)

    async def _look_into(self, row: ModelRow) -> None:
        await look_into(row, self._backend)
        self._redraw(row)

    async def _look_from_afar(self, row: ModelRow) -> None:
        row = self._rows.setdefault(row.entry.name, row)
        if row.asked != ASKED:
            row.asked = ASKED
            self._redraw(row)
            await look_from_afar(row, self._backend)
            self._redraw(row)

    def _redraw(self, row: ModelRow) -> None:
        name = row.entry.name
        if not self.is_mounted or all(option.id != name for option in self._list.options):
            return
        width = self._row_width
        self._list.replace_option_prompt(name, row.content(width))
        self._tell()

    def _words_of_keys(self, *ids: str) -> str:
        words = _KEYS | ({"picker.choose": "choose"} if self._is_of_server else {})
        keys = ((key_name(self, id_), words[id_]) for id_ in ids)
        return " · ".join(f"{key} {word}" for key, word in keys if key)

    @property
    def _nothing(self) -> str:
        if self._is_of_server:
            return "The server lists no such model."
        return "No model has such a name; org/name offers one of the hub's for download."

    @property
    def _row_width(self) -> int:
        """Cells of a row, with one left before the scrollbar."""
        return self._list.scrollable_content_region.width - 1

    def _marked(self) -> ModelRow | None:
        option = self._list.highlighted_option
        if option is None or option.id is None:
            return None
        return self._rows.get(option.id) or ModelRow(ModelEntry(option.id, is_local=False))
