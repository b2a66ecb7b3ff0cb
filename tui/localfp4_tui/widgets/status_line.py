"""The line at the bottom: what the engine does, how fast, and what it uses."""

from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4_tui.formatting import (
    bar,
    format_count,
    format_gib,
    format_rate,
    format_seconds,
    one_line,
)

Phase = Literal["loading", "prefill", "decode", "idle", "stopped"]

PHASE_STYLES: dict[Phase, str] = {
    "loading": "bold $text-primary",
    "prefill": "bold $text-warning",
    "decode": "bold $text-success",
    "idle": "$foreground 60%",
    "stopped": "bold $text-error",
}
SEPARATOR = " │ "
CONTEXT_BAR_WIDTH = 5
LEAST_PART_WIDTH = 8
"""Cells below which a part is left out rather than cut."""


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to show; unknown figures are zero, unknown words empty.

    Attributes:
        phase: What the engine does.
        detail: A few words on it, such as a share or a time left.
        tokens_per_s: Generated tokens per second, now or of the last answer.
        ttft_s: Time to first token of the last answer in seconds.
        context_used: Tokens of the conversation.
        context_max: Longest context in tokens.
        memory_label: ``VRAM`` or ``RAM``.
        memory_used_bytes: Bytes in use.
        memory_total_bytes: Bytes there are.
        kernel_path: What the linear layers run.
    """

    phase: Phase
    detail: str = ""
    tokens_per_s: float = 0.0
    ttft_s: float = 0.0
    context_used: int = 0
    context_max: int = 0
    memory_label: str = "RAM"
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    kernel_path: str = ""


def status_segments(status: Status) -> list[str]:
    """Return the parts of the line after the phase, the most important first."""
    parts: list[str] = []
    if status.tokens_per_s:
        parts.append(format_rate(status.tokens_per_s))
    if status.context_max:
        share = status.context_used / status.context_max
        used, most = format_count(status.context_used), format_count(status.context_max)
        parts.append(f"ctx {used}/{most} {bar(share, CONTEXT_BAR_WIDTH)}")
    if status.memory_total_bytes:
        used = format_gib(status.memory_used_bytes)
        parts.append(f"{status.memory_label} {used}/{format_gib(status.memory_total_bytes)}G")
    if status.ttft_s:
        parts.append(f"TTFT {format_seconds(status.ttft_s)}")
    parts.append(one_line(status.kernel_path))
    return [part for part in parts if part]


def status_content(status: Status, width: int) -> Content:
    """Return the line; what does not fit into ``width`` cells is cut, the last parts first."""
    head = f"{status.phase} {one_line(status.detail)}".rstrip()
    line = Content.styled(head, PHASE_STYLES[status.phase])
    for part in status_segments(status):
        room = width - line.cell_length - len(SEPARATOR)
        if room < min(LEAST_PART_WIDTH, Content(part).cell_length):
            break
        shown = Content(part).truncate(room, ellipsis=True)
        line = Content.assemble(line, (SEPARATOR, "$foreground 30%"), shown)
    return line


class StatusLine(Static):
    """Shows a :class:`Status`, redrawn only when it changes and without a new layout."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._status = Status("loading")

    def show(self, status: Status) -> None:
        """Show a status."""
        if status != self._status:
            self._status = status
            self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Choose anew what fits."""
        self._redraw()

    def _redraw(self) -> None:
        self.update(status_content(self._status, self.content_size.width), layout=False)
