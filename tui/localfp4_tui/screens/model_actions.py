"""What has to do with other models: choosing one, loading it in mid-chat, and whether it fits."""

import asyncio
from time import monotonic
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType

from localfp4.errors import EngineDiedError, UserError
from localfp4.reports import Choice
from localfp4_tui.formatting import one_line
from localfp4_tui.model_row import is_hub_id
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.fit import FitScreen
from localfp4_tui.screens.picker import PickerScreen
from localfp4_tui.session import EngineState
from localfp4_tui.widgets.trouble_panel import TroublePanel

PATIENCE_S = 3.0
"""How long an answer may take to end once it is stopped."""

_NAP_S = 0.05


class ModelActions(AnsweringScreen):
    """Actions on models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "model", "Choose a model", id="chat.model", priority=True),
    ]

    async def action_model(self, name: str = "") -> None:
        """Show the models, or load the one that is named.

        Raises:
            UserError: There is no such model.
        """
        if not name:
            self._pick()
            return
        entries = await asyncio.to_thread(self.session.backend.models)
        entry = next((entry for entry in entries if entry.is_named(name)), None)
        if entry is None:
            try:  # a folder, or a version that only the cache has
                await asyncio.to_thread(self.session.backend.describe, name)
            except UserError:
                if not is_hub_id(name):
                    raise
                self._pick(name)
                return
        elif not entry.is_local:
            self._pick(entry.name)
            return
        await self.switch_to(Choice(name if entry is None else entry.name))

    def action_fit(self, model: str = "") -> None:
        """Show what fits, by length of context."""
        self._plan(Choice(model) if model else self.session.backend.choice())

    async def switch_to(self, choice: Choice) -> None:
        """Stop the answer under way, and load another model; the conversation stays.

        An engine that does not stop is not waited for: it is ended anyway.
        """
        await self.stop_answer()
        deadline_s = monotonic() + PATIENCE_S
        while self.is_busy:
            if (exchange := self.session.exchange) is not None and monotonic() > deadline_s:
                exchange.abandon(EngineDiedError("The engine did not stop the answer."))
            await asyncio.sleep(_NAP_S)
        self.load_model(choice)

    @on(TroublePanel.Choosing)
    async def choose_another(self) -> None:
        """Show the models, from where one could not be loaded."""
        await self.action_model()

    @work(group="model", exclusive=True)
    async def _pick(self, typed: str = "") -> None:
        session = self.session
        loaded = session.backend.choice().model if session.state is EngineState.READY else None
        picker = PickerScreen(session.backend, loaded=loaded, typed=typed)
        choice = await self.app.push_screen_wait(picker)
        if names := picker.paused:
            listed = " and ".join(one_line(name) for name in names)
            self.notice.show(f"The download of {listed} is paused; the list goes on with it.")
        if choice is not None:
            await self.switch_to(choice)

    @work(group="model", exclusive=True)
    async def _plan(self, choice: Choice) -> None:
        chosen = await self.app.push_screen_wait(FitScreen(self.session.backend, choice))
        if chosen is not None:
            await self.switch_to(chosen)
