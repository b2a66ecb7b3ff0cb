"""Blocks of code in a frame that says their language and the number by which they are copied."""

from itertools import count

from textual.content import Content
from textual.highlight import highlight
from textual.style import Style

from localfp4_tui.formatting import one_line
from localfp4_tui.markdown.leaf import Leaf, Line, Prefix

FRAME_STYLE = "$foreground 35%"
LABEL_STYLE = "$text-primary"
TAB_SIZE = 4
LEAST_FRAMED_WIDTH = 16
LEXED_TOGETHER = 200
"""Lines that are highlighted in one go: 500 take 0.1 s, in which no key would be answered."""
LONGEST_LEXED_LINE = 2000
MOST_LEXED_TOGETHER = 16_000
"""Characters; lines of 80 are as dense as code gets that someone reads."""
MOST_LEXED_LINES = 2000
"""Lines of a closed block that are highlighted; 2000 take half a second."""
LONGEST_LANGUAGE = 20


class CodeLeaf(Leaf):
    """A block of code, whose lines may still be coming.

    While it grows its lines are highlighted one by one, which takes the same time however many
    there are; when it is closed all of them together, so that a string over many lines is one.

    Attributes:
        language: What the fence says; may be empty.
        number: Counts the blocks of an answer from 1.
    """

    def __init__(self, language: str, number: int, prefix: Prefix, gap: bool) -> None:
        super().__init__(prefix, gap)
        self.language = one_line(language.partition(" ")[0])[:LONGEST_LANGUAGE]
        self.number = number
        self._code: list[str] = []
        self._partial = ""
        self._is_closed = False
        self._highlighted: dict[int, Content] = {}
        self._folded: list[Line] = []
        self._folded_lines = 0
        self._folded_width = 0

    @property
    def code(self) -> str:
        """What is copied."""
        return "\n".join(self._code + [self._partial] * bool(self._partial))

    def key(self) -> object:
        """Return language, number and code."""
        return (self.language, self.number, self.code, self.prefix.first.plain, self.gap)

    def add(self, lines: list[str], partial: str = "") -> None:
        """Add whole lines, and what there is of the line after them."""
        self._code += lines
        self._partial = partial
        self._lines = None
        self._width = 0

    def close(self) -> None:
        """Take no more lines."""
        self._is_closed = True
        self._highlighted.clear()
        self._folded_width = 0
        self._lines = None

    def release(self) -> None:
        """Forget lines and colours."""
        super().release()
        self._highlighted.clear()
        self._folded.clear()
        self._folded_width = 0

    def rows(self, width: int) -> list[Line]:
        """Frame the code; lines that are too long are broken anywhere."""
        if width < LEAST_FRAMED_WIDTH:
            lines = self._code + [self._partial] * bool(self._partial)
            return [part for line in lines for part in _broken(self._colored(line), width)]
        inner = width - 4
        if self._folded_width != inner:
            self._folded, self._folded_lines, self._folded_width = [], 0, inner
        for number in range(self._folded_lines, len(self._code)):
            self._folded += self._framed(self._line(number), inner)
        self._folded_lines = len(self._code)
        partial = self._framed(self._colored(self._partial), inner) if self._partial else []
        bottom = Line(Content.styled(f"└{'─' * (inner + 2)}┘", FRAME_STYLE), 0, 0, "")
        return [self._top(width), *self._folded, *partial, bottom]

    def _top(self, width: int) -> Line:
        label = f"[{self.number}] copy"
        room = width - len(label) - 5
        language = Content(self.language).truncate(max(0, room - 2), ellipsis=True)
        fill = max(0, room - (language.cell_length + 2 if language else 0))
        click = Style.from_meta({"@click": f"copy_code({self.number})"})
        top = Content.assemble(
            ("┌ " if language else "┌", FRAME_STYLE),
            language.stylize(LABEL_STYLE),
            (" " if language else "", FRAME_STYLE),
            ("─" * fill, FRAME_STYLE),
            (" ", FRAME_STYLE),
            Content(label).stylize(LABEL_STYLE).stylize(click) if room >= 0 else "",
            (" ─┐", FRAME_STYLE),
        )
        return Line(top.truncate(width), 0, 0, "")

    def _framed(self, code: Content, width: int) -> list[Line]:
        lines = _broken(code, width)
        for line in lines:
            pad = " " * max(0, width - line.content.cell_length)
            bar = ("│ ", FRAME_STYLE)
            line.content = Content.assemble(bar, line.content, pad, (" │", FRAME_STYLE))
            line.start, line.end = line.start + 2, line.end + 2
        return lines

    def _line(self, number: int) -> Content:
        if not self._is_closed:
            return self._colored(self._code[number])
        if number not in self._highlighted:
            start = number - number % LEXED_TOGETHER
            part = [
                line.expandtabs(TAB_SIZE) for line in self._code[start : start + LEXED_TOGETHER]
            ]
            lines = self._colored_together(part) if start < MOST_LEXED_LINES else _plain(part)
            self._highlighted.update(zip(count(start), lines))
        return self._highlighted[number]

    def _colored_together(self, lines: list[str]) -> list[Content]:
        if sum(map(len, lines)) <= MOST_LEXED_TOGETHER:
            colored = self._lexed("\n".join(lines)).split("\n", allow_blank=True)
            colored += [Content()] * (len(lines) - len(colored))  # blank lines at the end are lost
            if [line.plain for line in colored] == lines:
                return colored
        return _plain(lines)

    def _colored(self, line: str) -> Content:
        line = line.expandtabs(TAB_SIZE)
        return self._lexed(line) if len(line) <= LONGEST_LEXED_LINE else Content(line)

    def _lexed(self, code: str) -> Content:
        if not self.language or not code.strip():
            return Content(code)
        return highlight(code, language=self.language, tab_size=TAB_SIZE)


def _plain(lines: list[str]) -> list[Content]:
    return [Content(line) for line in lines]


def _broken(code: Content, width: int) -> list[Line]:
    """Break a line of code anywhere."""
    lines = [Line(part, 0, len(part), "") for part in code.fold(width)]
    lines[-1].joint = "\n"
    return lines
