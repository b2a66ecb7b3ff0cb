"""One answer of the model: Markdown that grows, and the line of figures under it."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Markdown, Static

from localfp4.messages import Finished
from localfp4_tui.formatting import format_rate, format_seconds

END_IN_WORDS = {"stop": "stop", "length": "length limit", "cancelled": "stopped"}


class Answer(Vertical):
    """Shows an answer while it is written and once it is done.

    :meth:`append` returns when the text is on the screen. Its caller waits for that and hands
    over what arrived meanwhile in one piece, so that no queue builds up in front of a slow
    terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self._markdown = Markdown(open_links=False)
        self._figures = Static("…", classes="figures", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out the text and the line under it."""
        yield self._markdown
        yield self._figures

    async def append(self, text: str, output_tokens: int) -> None:
        """Add sanitised text, and say how many tokens there are by now."""
        if text:
            await self._markdown.append(text)
        if output_tokens:
            self._figures.update(f"{output_tokens} tok …", layout=False)

    def show_stopping(self) -> None:
        """Say that the answer is being stopped."""
        self._figures.update("stopping …", layout=False)

    def close(self, finished: Finished | None, output_tokens: int) -> None:
        """Show the figures of a complete answer, or mark one that ended before its time."""
        self.set_class(finished is None, "-broken")
        words = [f"{output_tokens} tok"]
        if finished is not None and finished.decode_tokens_per_s:
            words.append(format_rate(finished.decode_tokens_per_s))
        if finished is not None and finished.ttft_s:
            words.append(f"TTFT {format_seconds(finished.ttft_s)}")
        words.append(END_IN_WORDS[finished.reason] if finished is not None else "broken off")
        self._figures.update(" · ".join(words), layout=False)
