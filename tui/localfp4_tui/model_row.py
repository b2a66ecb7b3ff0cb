"""A model as the picker lists it: what is known so far, in words; no widgets."""

import re
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from localfp4.reports import Fit, ModelEntry, ModelFacts
from localfp4_tui.download import Download
from localfp4_tui.formatting import format_bytes, format_count, format_rate, one_line

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", re.ASCII)

BAR_WIDTH = 20
MUTED = "$foreground 60%"


@dataclass
class ModelRow:
    """A row of the picker.

    Attributes:
        entry: The model.
        facts: What its headers tell, once they were read.
        fit: Whether it fits, once that was planned.
        error: Why it cannot be told, or not be had.
        download: Its download, from the first one in this picker.
        is_loaded: Whether it is what the chat runs on.
        asked: What is to be told while the hub is asked for its headers, and where it refuses.
    """

    entry: ModelEntry
    facts: ModelFacts | None = None
    fit: Fit | None = None
    error: str = ""
    download: Download | None = None
    is_loaded: bool = False
    asked: str = ""

    @property
    def is_here(self) -> bool:
        """Whether its files are on this computer."""
        return self.entry.is_local and not self.entry.server

    @property
    def is_downloading(self) -> bool:
        """Whether bytes of it arrive now."""
        return self.download is not None and self.download.is_running

    def matches(self, typed: str) -> bool:
        """Say whether it has every word that was typed, in its name, its alias or its facts."""
        words = [self.entry.name, self.entry.alias]
        if self.facts is not None:
            words += [self.facts.family, self.facts.weight_format]
        return all(word in " ".join(words).lower() for word in typed.lower().split())

    def content(self, width: int) -> Content:
        """Return its two lines: name and verdict; and below, what is known, or how far it is."""
        verdict = self.verdict()
        room = max(width - verdict.cell_length - 3, 8)
        shown = shorten_path(one_line(self.entry.name), room - 2)
        name = Content.assemble(self._mark(), (shown, "bold"))
        if self.entry.alias:
            name = Content.assemble(name, ("  ", ""), (one_line(self.entry.alias), MUTED))
        name = name.truncate(room, ellipsis=True)
        gap = " " * max(width - name.cell_length - verdict.cell_length, 1)
        below = Content.assemble("  ", self._below(width - 2)).truncate(width, ellipsis=True)
        return Content.assemble(name, gap, verdict, "\n", below)

    def verdict(self) -> Content:
        """Say whether it fits, or what is to be done before that can be told."""
        if self.download is not None and not self.entry.is_local:
            return Content.styled(*self.download.state())
        if not self.entry.is_local and not self._is_too_large:
            begun = self.entry.present_bytes
            return Content.styled("paused" if begun else "download", MUTED)
        if self.error:
            return Content.styled("cannot run", "$text-error")
        if self.entry.server:
            return Content.styled("served", "$text-success")
        if self.fit is None:
            return Content.styled("…", MUTED)
        if not self.fit.fits:
            return Content.styled("does not fit", "$text-error")
        if not self.fit.is_whole:
            return Content.styled("partly in RAM", "$text-warning")
        return Content.styled("fits", "$text-success")

    def explanation(self) -> str:
        """Tell in a sentence what the rows have no room for."""
        if self.error:
            return self.error
        if not self.entry.is_local:
            return self._to_come()
        if self.entry.server:
            return "Enter asks for its answers from now on."
        if self.fit is None:
            return "Its headers are being read."
        if not self.fit.fits:
            return f"{self._of_fit(self.fit)}. Enter shows what would fit."
        return self._of_fit(self.fit)

    def _to_come(self) -> str:
        size, begun = self.entry.size_bytes, self.entry.present_bytes
        if self.asked:
            return self.asked
        if self.is_downloading:
            return "Space pauses, and so does closing this list."
        if begun or self.download is not None:
            return "Enter goes on with the download; what has arrived is kept."
        told = [f"Enter downloads it: {format_bytes(size)}." if size else "Enter downloads it."]
        if self.fit is None:
            return told[0]
        told.append("It would fit:" if self.fit.fits else "It would not fit:")
        told.append(f"{self._of_fit(self.fit)}.")
        return " ".join(told)

    @property
    def _is_too_large(self) -> bool:
        """Whether it is known not to fit; what keeps a row from being planned tells nothing."""
        return not self.error and self.fit is not None and not self.fit.fits

    def _of_fit(self, fit: Fit) -> str:
        if not fit.fits:
            return fit.reason.partition("\n")[0].rstrip(".")
        told = [f"{format_count(fit.context_tokens)} tokens of context"]
        if fit.expected_tokens_per_s is not None:
            told.append(f"about {format_rate(fit.expected_tokens_per_s)}, an estimate")
        return " · ".join(told)

    def _mark(self) -> tuple[str, str]:
        if self.is_loaded:
            return ("● ", "$text-primary")
        return ("  ", "") if self.entry.is_local else ("↓ ", MUTED)

    def _below(self, width: int) -> Content:
        if self.download is not None and not self.entry.is_local and not self.error:
            return self.download.line(min(BAR_WIDTH, width // 3))
        if self.error:
            return Content.styled(one_line(self.error), "$text-error")
        size, begun = self.entry.size_bytes, self.entry.present_bytes
        facts = [] if size is None else [format_bytes(size)]
        if begun and not self.entry.is_local:
            facts = [" of ".join([format_bytes(begun), *facts]) + " here"]
        elif not self.entry.is_local:
            facts.insert(0, "on the hub")
        if self.entry.server:
            facts.append(self.entry.server)
        if self.facts is not None:
            facts.append(self.facts.weight_format)
            facts.append(f"{self.facts.family} {format_count(self.facts.parameters)}")
            facts.append(f"{format_count(self.facts.context_tokens)} context")
        return Content.styled(" · ".join(one_line(fact) for fact in facts), MUTED)


def shorten_path(name: str, width: int) -> str:
    """Return a folder's path with its end in view, which tells models apart; ids stay as they are."""
    home = str(Path.home())
    if name.startswith(home):
        name = f"~{name.removeprefix(home)}"
    is_path = name.startswith(("/", "~")) or "\\" in name
    return f"…{name[-max(width - 1, 1) :]}" if is_path and len(name) > width else name


def is_hub_id(text: str) -> bool:
    """Say whether a text could be the id of a model on the hub."""
    return _HUB_ID.fullmatch(text) is not None
