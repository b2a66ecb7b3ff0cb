"""Leaves of words: paragraphs, headings and rules."""

from textual.content import Content

from localfp4_tui.markdown.leaf import Leaf, Line, Prefix, wrapped


class TextLeaf(Leaf):
    """A paragraph, or a heading."""

    def __init__(self, content: Content, prefix: Prefix, gap: bool) -> None:
        super().__init__(prefix, gap)
        self._content = content

    def key(self) -> object:
        """Return text, styles and place."""
        return (self._content.plain, *self._content.spans, self.prefix.first.plain, self.gap)

    def rows(self, width: int) -> list[Line]:
        """Wrap the words."""
        return wrapped(self._content, width)


class RuleLeaf(Leaf):
    """A line across."""

    def key(self) -> object:
        """Return that it is one."""
        return ("rule", self.prefix.first.plain, self.gap)

    def rows(self, width: int) -> list[Line]:
        """Draw the line."""
        return [Line(Content.styled("─" * width, "$foreground 30%"), 0, 0)]
