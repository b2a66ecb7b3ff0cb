"""What goes into a message beside what is typed: files, pastes, and whether all of it fits."""

import asyncio
from collections.abc import Sequence

from textual import on, work

from localfp4.errors import RequestError, UserError
from localfp4_tui.attachments import path_of, quoted
from localfp4_tui.completion import Option
from localfp4_tui.draft import Piece
from localfp4_tui.formatting import format_bytes, one_line
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.engine import EngineScreen
from localfp4_tui.text_files import read_text_file
from localfp4_tui.widgets.completing_area import CompletingArea
from localfp4_tui.widgets.drafting_area import DraftingArea


class FileActions(AnsweringScreen):
    """Actions on files, and answers to what the prompt asks while somebody writes."""

    async def action_file(self, name: str) -> None:
        """Attach a text file to the message being written."""
        name = name.strip().removeprefix("@").strip("\"'")
        await asyncio.to_thread(read_text_file, path_of(name), name, reader=self.session.model)
        if '"' in name:
            raise RequestError(
                f"{one_line(name)} has a quote in its name; rename or copy it first."
            )
        self.prompt.attach(quoted(name))

    @on(DraftingArea.Refused)
    def tell_refusal(self, event: DraftingArea.Refused) -> None:
        """Tell what the prompt could not take."""
        self.notice.show(event.reason, "warning")

    @on(EngineScreen.Ready)
    def know_reader(self) -> None:
        """Tell the prompt who reads, and count with the tokenizer that is there now."""
        self.prompt.draft.reader = one_line(self.session.model)
        self.prompt.look_at_pieces()

    @on(DraftingArea.PiecesChanged)
    def show_pieces(self, event: DraftingArea.PiecesChanged) -> None:
        """Say how long what is attached and pasted is, and whether it fits."""
        self._count(event.pieces)

    @on(CompletingArea.OptionsWanted)
    def offer_options(self, event: CompletingArea.OptionsWanted) -> None:
        """Look up the arguments of a command."""
        self._offer(event.command)

    @work(exclusive=True, group="pieces")
    async def _count(self, pieces: Sequence[Piece]) -> None:
        counts: list[int] = []
        try:
            if pieces:
                texts = [piece.text for piece in pieces]
                counts = await asyncio.to_thread(self.session.backend.count_tokens, texts)
        except UserError:  # no engine yet, or none that knows tokens
            note = " · ".join(f"{p.name} {format_bytes(len(p.text.encode()))}" for p in pieces)
            self.prompt.show_note(note)
            return
        remark = self._remark(sum(counts))
        notes = [f"{p.name} {count:,} tok" for p, count in zip(pieces, counts, strict=True)]
        self.prompt.show_note(" · ".join([*remark, *notes]), is_warning=bool(remark))

    def _remark(self, tokens: int) -> list[str]:
        """Return what is to be said of a number of tokens that goes into the context."""
        info = self.session.info
        if info is None or not info.max_model_len:
            return []
        if tokens + self.session.context_tokens < info.max_model_len:
            return []
        if tokens < info.max_model_len:
            return ["what was said first will be left out"]
        return [f"too long for the context of {info.max_model_len:,}"]

    @work(exclusive=True, group="options")
    async def _offer(self, command: str) -> None:
        self.prompt.offer(command, await self._options(command))

    async def _options(self, command: str) -> list[Option]:
        if command == "theme":
            return [(name, "") for name in sorted(self.app.available_themes)]
        try:
            models = await asyncio.to_thread(self.session.backend.models)
        except UserError:
            return []
        return [(one_line(m.alias or m.name), one_line(m.name) if m.alias else "") for m in models]
