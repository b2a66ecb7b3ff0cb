"""The terminal that the chat would draw on; how it answers is asked in ``keys``."""

import shutil
import sys

from localfp4.doctor.facts import Colours, TerminalFacts
from localfp4.doctor.gather.keys import has_kitty_keys
from localfp4.doctor.gather.surroundings import Surroundings

_PROGRAMS = {
    "TMUX": "tmux",
    "STY": "screen",
    "ZELLIJ": "zellij",
    "WT_SESSION": "Windows Terminal",
    "KITTY_WINDOW_ID": "kitty",
    "ALACRITTY_WINDOW_ID": "Alacritty",
    "WEZTERM_PANE": "WezTerm",
    "KONSOLE_VERSION": "Konsole",
    "CONEMUANSI": "ConEmu",
    "VTE_VERSION": "VTE",
}
"""Variables that terminals set for the programs in them, those within others first."""

_MULTIPLEXERS = ("tmux", "screen", "zellij")

_DUMB = ("dumb", "unknown")

_TRUE_COLOUR = ("xterm-kitty", "xterm-ghostty", "alacritty", "wezterm", "foot")
"""Terminals that have 24 bits; over ssh, their name arrives and ``COLORTERM`` does not."""


def terminal_facts(around: Surroundings) -> TerminalFacts:
    """Describe the terminal of this process; it is asked only where it is one."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    columns, lines = shutil.get_terminal_size()
    return TerminalFacts(
        is_terminal=is_terminal,
        program=program(around),
        colours=colours(around) if is_terminal else "none",
        encoding=sys.stdout.encoding or "",
        has_kitty_keys=has_kitty_keys(around) if is_terminal else None,
        columns=columns,
        lines=lines,
    )


def program(around: Surroundings) -> str:
    """Return what terminal this is, as far as variables tell; they survive no ``sudo`` or ssh."""
    environ = around.environ
    named = next((name for variable, name in _PROGRAMS.items() if environ.get(variable)), "")
    if named in _MULTIPLEXERS:
        return named
    return environ.get("TERM_PROGRAM") or environ.get("LC_TERMINAL") or named


def colours(around: Surroundings) -> Colours:
    """Return how many colours the terminal says it has.

    Consoles of Windows set no variable; they have had 24 bits since build 14931 ("24-bit Color in
    the Windows Console", 2016), which is older than any that Python 3.11 runs on.
    """
    environ = around.environ
    term = environ.get("TERM", "").lower()
    if term in _DUMB:
        return "none"
    is_said = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    if is_said or term in _TRUE_COLOUR or term.endswith("-direct"):
        return "24-bit"
    if around.kind == "windows" or environ.get("WT_SESSION"):
        return "24-bit"
    if "256" in term:
        return "256"
    return "16" if term else "none"
