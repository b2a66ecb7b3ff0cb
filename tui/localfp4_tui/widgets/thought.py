"""What a model thought before it answered: one line, which unfolds."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from localfp4_tui.formatting import format_seconds, one_line
from localfp4_tui.markdown.document import PlainDocument
from localfp4_tui.widgets.document_view import DocumentView
from localfp4_tui.widgets.quick import Quick


class Thought(Vertical, Quick):
    """The reasoning of one answer, folded into a line with its time and length.

    While the model thinks the line ends with the newest words of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._headline = Static(classes="headline", markup=False)
        self._document = PlainDocument()
        self._view: DocumentView | None = None
        self._length = 0
        self._words = ""

    def compose(self) -> ComposeResult:
        """Lay out the line, and the reasoning if it is unfolded."""
        yield self._headline
        if self._view is not None:
            yield self._view

    @property
    def is_unfolded(self) -> bool:
        """Whether the reasoning is shown."""
        return self._view is not None

    def show(self, text: str, duration_s: float, tokens: int, *, is_over: bool) -> None:
        """Show how far the thinking is.

        Args:
            text: All of it, sanitised; what was shown before is not looked at again.
            duration_s: Seconds it took so far.
            tokens: Tokens it took so far.
            is_over: Whether the answer has begun.
        """
        if not text:
            return
        self.display = True
        added, self._length = text[self._length :], len(text)
        if self._view is not None:
            self._view.add(added)
        else:
            self._document.add(added)
        figures = f"{format_seconds(duration_s)} · {tokens} tok"
        newest = "" if is_over else f" · {one_line(text[-500:].rstrip().rpartition(chr(10))[2])}"
        self._words = f"{'thought' if is_over else 'thinking'} {figures}{newest}"
        self._show_headline()

    def fold(self, folded: bool) -> None:
        """Show the reasoning, or only the line."""
        if folded == (self._view is None):
            return
        if self._view is not None:
            self._view.remove()
            self._view = None
        else:
            self._view = DocumentView(self._document)
            if self.is_attached:
                self.mount(self._view)
        self._show_headline()

    def _show_headline(self) -> None:
        self._headline.update(f"{'▾' if self.is_unfolded else '▸'} {self._words}", layout=False)
