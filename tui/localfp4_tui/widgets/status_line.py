"""The upper line of the status: what the engine does, how fast, and how long the context is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4_tui.curves import sparkline
from localfp4_tui.fitting import fitted
from localfp4_tui.formatting import bar, format_count, format_rate, format_seconds, one_line

Phase = Literal["loading", "prefill", "decode", "idle", "stopped"]

PHASE_STYLES: dict[Phase, str] = {
    "loading": "bold $text-primary",
    "prefill": "bold $text-warning",
    "decode": "bold $text-success",
    "idle": "$text-muted",
    "stopped": "bold $text-error",
}
CONTEXT_BAR_WIDTH = 5


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to show; unknown figures are zero, unknown words empty.

    Attributes:
        phase: What the engine does.
        details: What there is to say of it, such as a share and a time left.
        tokens_per_s: Generated tokens per second, now or of the last answer.
        limit_tokens_per_s: What the bandwidth allows.
        speeds: Tokens per second over the last seconds of writing, a figure each.
        ttft_s: Time to first token of the last answer in seconds.
        context_used: Tokens of the conversation.
        context_max: Longest context in tokens.
        kernel_path: What the linear layers run.
    """

    phase: Phase
    details: tuple[str, ...] = ()
    tokens_per_s: float = 0.0
    limit_tokens_per_s: float = 0.0
    speeds: tuple[float, ...] = ()
    ttft_s: float = 0.0
    context_used: int = 0
    context_max: int = 0
    kernel_path: str = ""


def status_content(status: Status, width: int) -> Content:
    """Return the line; what does not fit into ``width`` cells is shortened or left out."""
    return fitted(_layouts(status), width)


def _layouts(status: Status) -> Iterator[tuple[Content, ...]]:
    phases, speeds, contexts = _phases(status), _speeds(status), _contexts(status)
    ttft = Content(f"TTFT {format_seconds(status.ttft_s)}" if status.ttft_s else "")
    kernels = Content.styled(one_line(status.kernel_path), "$text-muted")
    phase = phases[0]
    yield phase, speeds[0], contexts[0], ttft, kernels
    yield phase, speeds[0], contexts[0], ttft
    yield phase, speeds[0], contexts[1], ttft
    yield phase, speeds[1], contexts[1], ttft
    yield phase, speeds[2], contexts[1], ttft
    yield phase, speeds[2], contexts[1]
    yield phase, speeds[2], contexts[2]
    yield phase, speeds[3], contexts[2]
    yield phase, speeds[3]
    for shorter in phases:
        yield (shorter,)


def _phases(status: Status) -> list[Content]:
    """The phase with all that there is to say of it, and with less and less of that."""
    words = [one_line(detail) for detail in status.details]
    forms = (" · ".join(words[:count]) for count in range(len(words), -1, -1))
    style = PHASE_STYLES[status.phase]
    return [Content.styled(f"{status.phase} {form}".rstrip(), style) for form in forms]


def _speeds(status: Status) -> list[Content]:
    if not status.tokens_per_s:
        return [Content("")] * 4
    rate, limit = format_rate(status.tokens_per_s), status.limit_tokens_per_s
    share = f"{status.tokens_per_s / limit:.0%}" if limit else ""
    of_limit = f"{rate} ({share} of limit)" if share else rate
    short = f"{rate} {share}".rstrip()
    curve = (f"{sparkline(status.speeds, limit)} " if status.speeds else "", "$text-primary")
    forms = (Content.assemble(curve, of_limit), Content.assemble(curve, short))
    return [*forms, Content(short), Content(rate)]


def _contexts(status: Status) -> list[Content]:
    if not status.context_max:  # a server may not tell
        used = f"ctx {format_count(status.context_used)}" if status.context_used else ""
        return [Content(used)] * 3
    share = status.context_used / status.context_max
    used, most = format_count(status.context_used), format_count(status.context_max)
    numbers, percent = f"ctx {used}/{most}", f"{share:.0%}"
    filled = bar(share, CONTEXT_BAR_WIDTH)
    forms = (f"{numbers} {filled} {percent}", f"{numbers} {percent}", f"ctx {percent}")
    return [Content(form) for form in forms]


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
