"""Answers in which control tokens enclose reasoning and tool calls: most families' protocol.

What stands inside a tool call differs; the files beside this one read that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localfp4.text.parsers.parser import (
    NEW_ANSWER,
    Call,
    Content,
    Opening,
    Piece,
    Reasoning,
    Tools,
)

ReadCalls = Callable[[str, Tools], list[Call] | None]
"""Makes calls to some tools of the text inside a region, or ``None`` where it is malformed."""


@dataclass(frozen=True, slots=True)
class Region:
    """What lies between two control tokens.

    Attributes:
        opens: The token before it.
        closes: The token after it; empty where it lasts until the next region or the end.
        read: Makes tool calls of the text inside; a region without it is reasoning.
        heading: What reasoning begins with, and is left out.
    """

    opens: str
    closes: str
    read: ReadCalls | None = None
    heading: str = ""


class TaggedParser:
    """Splits an answer at its regions.

    Line breaks beside a region belong to the markup and are left out.
    """

    def __init__(
        self, regions: Iterable[Region], tools: Tools, opening: Opening = NEW_ANSWER
    ) -> None:
        """Start an answer.

        Args:
            regions: What there may be.
            tools: What may be called.
            opening: Where in the answer the prompt ends.
        """
        self._regions = {region.opens: region for region in regions}
        self._tools = tools
        self._flow = _Flow()
        self._region: Region | None = None
        self._body: list[str] = []
        self._breaks_before = ""
        if opening.token in self._regions:
            self._enter(self._regions[opening.token])
        if opening.within is not None:  # its heading, and what is left out before it, has been
            self._flow = _Flow()

    def text(self, text: str) -> list[Piece]:
        """Take the next piece of text."""
        if self._region is None:
            return [Content(self._flow.add(text))]
        if self._is_thinking:
            return [Reasoning(self._flow.add(text))]
        self._body.append(text)
        return []

    def mark(self, token: str) -> list[Piece]:
        """Take a control token."""
        if self._region is not None and token == self._region.closes:
            return self._leave(token)
        if token in self._regions:
            pieces = self._leave("")
            self._enter(self._regions[token])
            return pieces
        return self.text(token)

    def end(self) -> list[Piece]:
        """Close what is open; a thought that breaks off keeps its last line breaks."""
        thought = self._flow.held if self._is_thinking else ""
        return [Reasoning(thought)] if thought else [*self._leave(""), Content(self._flow.held)]

    @property
    def _is_thinking(self) -> bool:
        return self._region is not None and self._region.read is None

    def _enter(self, region: Region) -> None:
        self._region, self._body = region, []
        self._flow = _Flow(region.heading, strips=True)

    def _leave(self, token: str) -> list[Piece]:
        """Leave the region there is, if any, for content; ``token`` is what closed it."""
        region, self._region = self._region, None
        if region is None:
            self._breaks_before = self._flow.held
            return []
        flow, self._flow = self._flow, _Flow(strips=True)
        before, self._breaks_before = self._breaks_before, ""
        if region.read is None:
            return [Reasoning(flow.unfinished_heading)]
        body = "".join(self._body)
        calls = region.read(body, self._tools)
        if calls is not None:
            return list(calls)
        self._flow = _Flow()
        return [Content(self._flow.add(f"{before}{region.opens}{body}{token}"))]


class _Flow:
    """Text with its last line breaks held back, and its first left out if it ``strips``."""

    def __init__(self, heading: str = "", *, strips: bool = False) -> None:
        self._heading = heading
        self._strips = strips
        self.held = ""

    @property
    def unfinished_heading(self) -> str:
        """What was held back since it could have become the heading."""
        return self.held if self._heading else ""

    def add(self, text: str) -> str:
        text = self.held + text
        if self._heading:
            if len(text) < len(self._heading) and self._heading.startswith(text):
                self.held = text
                return ""
            text, self._heading = text.removeprefix(self._heading), ""
        if self._strips:
            text = text.lstrip("\n")
            self._strips = not text
        body = text.rstrip("\n")
        self.held = text[len(body) :]
        return body
