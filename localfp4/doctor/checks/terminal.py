"""The terminal that the chat would draw on; nothing where output goes elsewhere."""

from collections.abc import Iterator

from localfp4.doctor.facts import Facts, TerminalFacts
from localfp4.doctor.finding import Finding, Remedy

_COLOURS = {
    "none": "no colours",
    "16": "16 colours",
    "256": "256 colours",
    "24-bit": "24-bit colour",
}
_COLUMNS, _LINES = 80, 24
"""What the chat is laid out for at least."""


def terminal_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of the terminal."""
    terminal = facts.terminal
    if not terminal.is_terminal:
        return
    yield Finding("terminal", "terminal", "ok", _summary(terminal))
    if terminal.colours in ("none", "16"):
        yield Finding(
            "colours",
            "terminal",
            "note",
            f"The terminal shows {_COLOURS[terminal.colours]}",
            "The chat is drawn with more.",
            (_more_colours(facts),),
        )
    if terminal.encoding.lower().replace("-", "") not in ("utf8", "cp65001"):
        yield Finding(
            "encoding",
            "terminal",
            "warning",
            f"Text is written as {terminal.encoding}, which lacks most characters",
            "Answers in other scripts, and frames, show as question marks.",
            (_utf8(facts),),
        )
    if terminal.columns < _COLUMNS or terminal.lines < _LINES:
        yield Finding(
            "size",
            "terminal",
            "note",
            f"The terminal is smaller than {_COLUMNS} x {_LINES}",
            "The chat leaves out what does not fit.",
        )


def _summary(terminal: TerminalFacts) -> str:
    words = [
        terminal.program or "a terminal",
        _COLOURS[terminal.colours],
        terminal.encoding.upper(),
        f"{terminal.columns} x {terminal.lines}",
    ]
    if terminal.has_kitty_keys is not None:
        tells = "Shift+Enter" if terminal.has_kitty_keys else "Ctrl+J"
        words.append(f"{tells} begins a new line")
    return ", ".join(words)


def _more_colours(facts: Facts) -> Remedy:
    if facts.system.kind == "windows":
        return Remedy("Use Windows Terminal, from Microsoft's store.")
    if facts.terminal.program == "tmux":
        return Remedy("In ~/.tmux.conf write: set -g default-terminal tmux-256color")
    return Remedy("Where the terminal has more and does not say so: export COLORTERM=truecolor")


def _utf8(facts: Facts) -> Remedy:
    if facts.system.kind == "windows":
        return Remedy("Before localfp4:", (("chcp", "65001"),))
    return Remedy("Before localfp4: export LC_ALL=C.UTF-8")
