"""The line at the top: which model talks, in which format, and what the chat is called."""

from collections.abc import Sequence

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4.messages import ModelInfo
from localfp4_tui.formatting import format_count, one_line

LEAST_TITLE_WIDTH = 12
"""Cells below which a title is left out rather than cut."""

RULE_WIDTH = 5
"""Cells between the model and the title, at least: a rule with a blank on either side."""


def title_content(model: str, facts: Sequence[str], title: str, width: int) -> Content:
    """Return the line: the model, as many facts as fit, a rule, and the title.

    The title gives way only to the model's name, and facts to both, the last ones first.
    """
    name = Content.styled(model, "bold $text-primary")
    room = width - name.cell_length - RULE_WIDTH
    heading = Content(title).truncate(max(room, 0), ellipsis=True)
    if not title or room < min(LEAST_TITLE_WIDTH, Content(title).cell_length):
        heading = Content("")
    taken = heading.cell_length + RULE_WIDTH if heading else 0
    for fact in facts:
        longer = Content.assemble(name, (f" · {fact}", "$text-muted"))
        if longer.cell_length + taken > width:
            break
        name = longer
    if not heading:
        return name.truncate(width, ellipsis=True)
    rule = "─" * (width - name.cell_length - heading.cell_length - 2)
    return Content.assemble(name, (f" {rule} ", "$foreground 30%"), heading)


class TitleBar(Static):
    """Name, format, size and place of the model, and the title of the conversation."""

    def __init__(self, model: str) -> None:
        super().__init__(markup=False)
        self._model = one_line(model)
        self._facts: tuple[str, ...] = ()
        self._title = ""

    def show(self, info: ModelInfo) -> None:
        """Show a loaded model."""
        size = format_count(info.parameters) if info.parameters else ""
        kind = f"{info.family} {size}".strip()
        where = info.server or info.device
        self._model = one_line(info.name)
        self._facts = tuple(one_line(f) for f in (info.weight_format, kind, where) if f)
        self._redraw()

    def show_name(self, model: str) -> None:
        """Show a model that is loaded only now; what is known of the same one stays."""
        if (model := one_line(model)) != self._model:
            self._model, self._facts = model, ()
            self._redraw()

    def show_title(self, title: str) -> None:
        """Show what the conversation is called; empty where it has no name yet."""
        if (title := one_line(title)) != self._title:
            self._title = title
            self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Choose anew what fits."""
        self._redraw()

    def _redraw(self) -> None:
        width = self.content_size.width
        self.update(title_content(self._model, self._facts, self._title, width), layout=False)
