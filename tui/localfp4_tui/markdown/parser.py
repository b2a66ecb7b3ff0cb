"""From Markdown to leaves, by markdown-it; HTML counts as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from textual.content import Content

from localfp4_tui.markdown.code import CodeLeaf
from localfp4_tui.markdown.inline import inline_content, is_safe_link
from localfp4_tui.markdown.leaf import Leaf, Prefix
from localfp4_tui.markdown.table import TableLeaf
from localfp4_tui.markdown.text import RuleLeaf, TextLeaf

BULLETS = "•▪‣◦"
QUOTE_MARK = "▎ "
MARK_STYLE = "$text-primary"
HEADING_STYLES = {"h1": "bold underline $text-primary", "h2": "bold $text-primary"}
LESSER_HEADING_STYLE = "bold"
DEEPEST_LEVEL = 20
"""Levels of quotes and lists, of which a list counts twice, below which markup is left as text."""


class Parser(MarkdownIt):
    """GitHub's Markdown without HTML; links that a click must not follow are left as text."""

    def __init__(self) -> None:
        most = DEEPEST_LEVEL + 2  # what is deeper would be left out, and a list adds two levels
        super().__init__("gfm-like", {"html": False, "maxNesting": most})
        self.block.ruler.before("table", "deepest", _deepest_as_text)
        self.disable("reference")  # they would take lines out of what is read

    def validateLink(self, url: str) -> bool:
        """Say whether a link is one."""
        return is_safe_link(url)


def _deepest_as_text(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """Take what is nested too deep as one paragraph, up to a line that is indented less."""
    if state.level < DEEPEST_LEVEL:
        return False
    after = first + 1
    while after < end and (state.isEmpty(after) or state.sCount[after] >= state.blkIndent):
        after += 1
    state.push("paragraph_open", "p", 1).map = [first, after]
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(first, after, state.blkIndent, False).strip()
    inline.map, inline.children = [first, after], []
    state.push("paragraph_close", "p", -1)
    state.line = after
    return True


@dataclass(slots=True, eq=False)
class _Container:
    """A quote, or a list with the number or bullet of its next item."""

    kind: str
    is_tight: bool = False
    number: int = 0
    mark_width: int = 0
    mark: str = ""


class LeafBuilder:
    """Turns the tokens of whole blocks into leaves.

    Args:
        first_code: Number of the first block of code.
        follows: Whether something comes before, from which the first leaf keeps a distance.
    """

    def __init__(self, first_code: int = 1, follows: bool = False) -> None:
        self._leaves: list[Leaf] = []
        self._containers: list[_Container] = []
        self._next_code = first_code
        self._follows = follows
        self._begins_item = False
        self._begins_list = False
        self._previous: list[_Container] = []

    def build(self, tokens: Sequence[Token]) -> list[Leaf]:
        """Return the leaves of a document."""
        position = 0
        while position < len(tokens):
            position = self._take(tokens, position)
        return self._leaves

    def _take(self, tokens: Sequence[Token], position: int) -> int:
        """Handle a token, and return the position of the next one."""
        token = tokens[position]
        match token.type:
            case "paragraph_open" | "heading_open":
                self._add_text(token, tokens[position + 1])
                return position + 3
            case "fence" | "code_block":
                self._add_code(token)
            case "hr":
                self._leaves.append(RuleLeaf(self._prefix(), self._gap()))
            case "table_open":
                return self._add_table(tokens, position)
            case "blockquote_open":
                self._containers.append(_Container("quote", mark_width=2, mark=QUOTE_MARK))
                self._begins_item = False
            case "bullet_list_open" | "ordered_list_open":
                self._begins_list = all(outer.kind == "quote" for outer in self._containers)
                self._containers.append(_list(tokens, position))
            case "list_item_open":
                self._begin_item()
            case "blockquote_close" | "bullet_list_close" | "ordered_list_close":
                self._containers.pop()
            case "list_item_close" if self._begins_item:
                self._leaves.append(TextLeaf(Content(), self._prefix(), self._gap()))
            case _:
                pass
        return position + 1

    def _add_text(self, token: Token, inline: Token) -> None:
        content = inline_content(inline.children or ())
        if token.type == "heading_open":
            content = content.stylize_before(HEADING_STYLES.get(token.tag, LESSER_HEADING_STYLE))
        self._leaves.append(TextLeaf(content, self._prefix(), self._gap()))

    def _add_code(self, token: Token) -> None:
        leaf = CodeLeaf(token.info, self._next_code, self._prefix(), self._gap())
        leaf.add(token.content.removesuffix("\n").split("\n") if token.content else [])
        leaf.close()
        self._next_code += 1
        self._leaves.append(leaf)

    def _add_table(self, tokens: Sequence[Token], position: int) -> int:
        rows: list[list[Content]] = []
        alignments: list[str] = []
        while (token := tokens[position]).type != "table_close":
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(inline_content(token.children or ()))
            elif token.type == "th_open":
                alignments.append(str(token.attrs.get("style", "")).removeprefix("text-align:"))
            position += 1
        header, *body = rows
        self._leaves.append(TableLeaf(header, body, alignments, self._prefix(), self._gap()))
        return position + 1

    def _begin_item(self) -> None:
        container = self._containers[-1]
        depth = sum(1 for outer in self._containers if outer.kind == "bullets") - 1
        if container.kind == "numbers":
            container.mark = f"{container.number}. ".rjust(container.mark_width)
            container.number += 1
        else:
            container.mark = f"{BULLETS[depth % len(BULLETS)]} "
        self._begins_item = True

    def _prefix(self) -> Prefix:
        """Return what stands before the next leaf; marks of items are used up by it."""
        firsts: list[Content] = []
        rests: list[Content] = []
        shared = 0
        for depth, container in enumerate(self._containers):
            if container in self._previous:
                shared = depth + 1
            blank = Content(" " * container.mark_width)
            mark = Content.styled(container.mark, MARK_STYLE) if container.mark else blank
            firsts.append(mark)
            rests.append(mark if container.kind == "quote" else blank)
            if container.kind != "quote":
                container.mark = ""
        self._previous = list(self._containers)
        join = Content().join
        return Prefix(join(firsts), join(rests), join(rests[:shared]))

    def _gap(self) -> bool:
        lists = [outer for outer in self._containers if outer.kind != "quote"]
        is_tight = bool(lists) and lists[-1].is_tight and not self._begins_list
        is_first = not self._leaves and not self._follows
        self._begins_item = self._begins_list = False
        return not (is_first or is_tight)


def _list(tokens: Sequence[Token], position: int) -> _Container:
    opening = tokens[position]
    is_tight = True
    items = 0
    for token in tokens[position + 1 :]:
        if token.level <= opening.level:
            break
        if token.type == "list_item_open" and token.level == opening.level + 1:
            items += 1
        elif token.type == "paragraph_open" and token.level == opening.level + 2:
            is_tight = is_tight and token.hidden
    if opening.type == "bullet_list_open":
        return _Container("bullets", is_tight, mark_width=2)
    number = int(opening.attrs.get("start", 1))
    return _Container("numbers", is_tight, number, len(f"{number + items - 1}. "))
