"""What fills the context, laid over the chat."""

import asyncio
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localfp4.errors import RequestError, UserError
from localfp4.text.sanitize import sanitize
from localfp4_tui.context_parts import SAID, ContextPart, Filling, Kind, fill, said_in
from localfp4_tui.formatting import format_count, one_line
from localfp4_tui.session import ChatSession

NAMES: dict[Kind, str] = {
    "system": "system prompt",
    "summary": "summary",
    "user": "you",
    "assistant": "answer",
    "template": "chat template",
    "reserve": "kept for the answer",
    "free": "free",
}
STYLES: dict[Kind, str] = {
    "system": "$secondary",
    "summary": "$accent",
    "user": "$primary",
    "assistant": "$success",
    "template": "$warning",
    "reserve": "$foreground 45%",
    "free": "$foreground 18%",
}
SIGNS: dict[Kind, str] = {"reserve": "▒", "free": "░"}
NAME_WIDTH = max(map(len, NAMES.values()))


class ContextScreen(ModalScreen[None]):
    """Shows every turn that the model reads with its tokens, and how much room is left.

    Args:
        session: Whose conversation.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close", id="context.close"),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._filling: Filling | None = None
        self._heading = Static("Counting …", classes="heading", markup=False)
        self._bar = Static(classes="bar", markup=False)
        self._rows = Static(classes="rows", markup=False)
        self._outlook = Static(classes="outlook", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out the bar above the turns."""
        with Vertical() as sheet:
            sheet.border_title = "What fills the context"
            sheet.border_subtitle = "esc closes"
            yield self._heading
            yield self._bar
            with VerticalScroll() as scroll:
                scroll.focus()
                yield self._rows
                yield self._outlook

    def on_mount(self) -> None:
        """Count, which may take a while."""
        self._bar.display = self._outlook.display = False
        self.count()

    def on_resize(self) -> None:
        """Fit the bar into the new width."""
        self.call_after_refresh(self._redraw)

    @work(exclusive=True)
    async def count(self) -> None:
        """Ask the engine how many tokens everything has, and show it."""
        session = self._session
        said = said_in(session.conversation)
        try:
            texts = [part.text for part in said]
            counts = await asyncio.to_thread(session.backend.count_tokens, texts)
            info = await asyncio.to_thread(session.backend.info)
            if not info.max_model_len:
                raise RequestError("The server does not tell how long the context is.")
        except UserError as error:
            self._heading.update(f"The tokens cannot be counted now. {sanitize(str(error))}")
            self._rows.update(Content("\n").join(_uncounted(part) for part in said))
            return
        last = session.conversation.branch[-1:]
        thoughts = last[0].thinking_tokens if last else 0
        self._filling = fill(
            said,
            counts,
            limit=info.max_model_len,
            context_tokens=session.context_tokens - thoughts,
            max_tokens=session.sampling.max_tokens,
        )
        self._redraw()

    def _redraw(self) -> None:
        if (filling := self._filling) is None:
            return
        share = filling.used / filling.limit
        self._heading.update(
            f"{filling.used:,} of {filling.limit:,} tokens, {share:.0%}".replace("%", " %")
        )
        self._bar.display = self._outlook.display = True
        self._bar.update(context_bar(filling, self._bar.content_size.width))
        width = max((len(f"{part.tokens:,}") for part in filling.parts), default=1)
        self._rows.update(Content("\n").join(_row(part, width) for part in filling.parts))
        self._outlook.update(filling.outlook)


def context_bar(filling: Filling, width: int) -> Content:
    """Return a bar with a stretch for each kind of part; all together fill it."""
    tokens = dict.fromkeys(NAMES, 0)
    for part in filling.parts:
        tokens[part.kind] += 0 if part.goes else part.tokens
    stretches: list[Content] = []
    total, end, drawn = max(1, sum(tokens.values())), 0, 0
    for kind, count in tokens.items():
        end += count
        cells = round(end / total * width) - drawn
        drawn += cells
        stretches.append(Content.styled(SIGNS.get(kind, "█") * cells, STYLES[kind]))
    return Content("").join(stretches)


def _row(part: ContextPart, width: int) -> Content:
    words = one_line(part.text)
    if part.kind == "template" and not part.tokens:
        count, words = "?", "known after the next answer"
    else:
        count = f"{part.tokens:,}"
    name = f"{NAMES[part.kind]:<{NAME_WIDTH}} {count:>{width}}"
    if part.goes:
        return Content.styled(f"  {name}  left out: {words}", "$text-muted strike")
    return Content.assemble(
        (SIGNS.get(part.kind, "█"), STYLES[part.kind]),
        f" {name}",
        (f"  {words}", "" if part.kind in SAID else "$text-muted"),
    )


def _uncounted(part: ContextPart) -> Content:
    length = f"{format_count(len(part.text))} characters"
    return Content.assemble(
        ("█", STYLES[part.kind]),
        f" {NAMES[part.kind]:<{NAME_WIDTH}} {length:>16}  ",
        one_line(part.text),
    )
