"""Markdown that grows: the same however it comes, never wider than its place, and harmless."""

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from textual.content import Content

from localfp4_tui.markdown import code
from localfp4_tui.markdown.document import MarkdownDocument, PlainDocument
from localfp4_tui.markdown.inline import inline_content
from localfp4_tui.markdown.parser import Parser
from localfp4_tui.markdown.table import column_widths

FRAGMENTS = (
    "# Title\n", "## A\n\n", "words ", "*em* ", "**bold", "**", "`code` ", "\n", "\n\n", "- item\n",
    "  - inner\n", "1. one\n", "   more\n", "7. seven\n", "> quote\n", "> - in it\n", ">\n", "```py\n",
    "```\n", "~~~\n", "    indented\n", "def f():\n", "| a | b |\n", "|---|--:|\n", "| 1 | 2 |\n",
    "[x](https://e.org/a) ", "https://bare.org ", "<b>html</b> ", "---\n", "===\n", "\\", "#", "-",
    "  ", "字", "![p](https://e.org/p.png)\n", "[r]: https://e.org\n", "a\\\nb", "* star\n", "\t",
)  # fmt: skip
markdown = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


def shown(document: MarkdownDocument | PlainDocument, width: int = 60) -> list[str]:
    return [line.content.plain for leaf in document.leaves for line in leaf.lines(width)]


def test_every_kind_of_block_as_it_is_shown() -> None:
    text = """# Title

Some *prose*, [a link](https://e.org) and <b>html</b>.

- one
- two
  1. inner

> quote
> - in it

| name | speed |
|:-----|------:|
| NVFP4 | 96.2 |

```sql
SELECT 1
```

---
"""
    assert shown(MarkdownDocument(text), 40) == [
        "Title",
        "",
        "Some prose, a link (https://e.org) and",
        "<b>html</b>.",
        "",
        "• one",
        "• two",
        "  1. inner",
        "",
        "▎ quote",
        "▎",
        "▎ • in it",
        "",
        "name  │ speed",
        "──────┼──────",
        "NVFP4 │  96.2",
        "",
        "┌ sql ────────────────────── [1] copy ─┐",
        "│ SELECT 1                             │",
        "└──────────────────────────────────────┘",
        "",
        "─" * 40,
    ]


@settings(max_examples=80, deadline=None)
@given(markdown, st.lists(st.integers(0, 200), max_size=12))
@example("para\n#tag", [5, 6])
@example("```py\ncode\n```\nafter", [8, 9, 11, 12, 13])
def test_text_is_shown_the_same_however_it_comes(text: str, cuts: list[int]) -> None:
    whole = MarkdownDocument(text)
    pieces = MarkdownDocument()
    positions = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in pairwise(positions):
        pieces.add(text[start:end])
    pieces.finish()
    assert shown(pieces) == shown(whole)
    assert pieces.codes == whole.codes


@settings(max_examples=40, deadline=None)
@given(markdown, st.integers(1, 70))
def test_no_line_is_wider_than_its_place(text: str, width: int) -> None:
    document = MarkdownDocument(text)
    for leaf in document.leaves:
        lines = leaf.lines(width)
        assert len(lines) == leaf.height(width)
        assert all(line.content.cell_length <= max(width, 2) for line in lines)  # 字 takes two


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab \n", max_size=60), st.integers(0, 60))
def test_plain_text_loses_nothing_but_blank_lines(text: str, cut: int) -> None:
    document = PlainDocument(text[:cut])
    document.add(text[cut:])
    assert "".join("".join(shown(document)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "shows", "clickable"),
    [
        ("[here](https://e.org/a)", "here (https://e.org/a)", True),
        ("[https://e.org](https://e.org)", "https://e.org", True),
        ("<me@e.org>", "me@e.org", True),
        ("https://e.org", "https://e.org", True),
        ("![a cat](https://e.org/c.png)", "a cat (https://e.org/c.png)", True),
        ("[](https://e.org)", "https://e.org", True),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))", False),
        ("[x](file:///etc/passwd)", "[x](file:///etc/passwd)", False),
        ("[x](data:text/html,hi)", "[x](data:text/html,hi)", False),
        ("[x](/relative)", "[x](/relative)", False),
    ],
)
def test_links_show_where_they_lead(text: str, shows: str, clickable: bool) -> None:
    document = MarkdownDocument(text)
    assert shown(document) == [shows]
    [line] = document.leaves[0].lines(60)
    assert any("@click" in getattr(s.style, "meta", {}) for s in line.content.spans) == clickable


def test_links_cannot_break_out_of_the_action_they_run() -> None:
    document = MarkdownDocument("[x](https://e.org/'),app.quit(')")
    spans = document.leaves[0].lines(60)[0].content.spans
    actions = [span.style.meta["@click"] for span in spans if hasattr(span.style, "meta")]
    assert all(action.startswith("follow_link(\"https://e.org/'") or "%27" in action
               for action in actions)  # fmt: skip


def test_code_is_copied_as_it_was_written_and_counted_through_the_answer() -> None:
    text = "```make\nall:\n\techo 1\n\n```\n\n- a\n\n  ~~~\n  two\n  ~~~\n\n    three\n"
    document = MarkdownDocument(text)
    assert document.codes[0] == "all:\n\techo 1\n"
    assert document.codes[1] == "two"
    lines = shown(document)
    assert any("│ all:" in line for line in lines)
    assert any("│     echo 1" in line for line in lines)
    assert [n for n in "123" if any(f"[{n}] copy" in line for line in lines)] == ["1", "2"]


def test_an_open_fence_costs_the_same_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    highlighted: list[str] = []

    def highlight(text: str, **_: object) -> Content:
        highlighted.append(text)
        return Content(text)

    monkeypatch.setattr(code, "highlight", highlight)
    document = MarkdownDocument()
    document.add("```py\n")
    for number in range(500):
        document.add(f"line = {number}\n")
        document.leaves[-1].lines(80)
    assert len(highlighted) == 500
    assert all("\n" not in text for text in highlighted)
    document.add("```\n")
    highlighted.clear()
    document.leaves[-1].lines(80)
    assert [text.count("\n") + 1 for text in highlighted] == [200, 200, 100]


def test_an_endless_paragraph_is_not_parsed_again_for_every_word() -> None:
    document = MarkdownDocument()
    parsed = 0
    for number in range(6000):
        before = document.leaves[-1] if document.leaves else None
        document.add(f"word{number} ")
        parsed += document.leaves[-1] is not before
    document.finish()
    assert parsed < 1100
    assert "".join(shown(document, 10_000_000)).split() == [f"word{n}" for n in range(6000)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=8), st.integers(0, 120))
def test_columns_share_the_room_and_the_widest_give_way_first(
    natural: list[int], spare: int
) -> None:
    room = 5 * len(natural) + spare
    widths = column_widths(natural, room)
    assert sum(widths) <= room
    assert all(width <= wanted for width, wanted in zip(widths, natural, strict=True))
    cut = [w for w, wanted in zip(widths, natural, strict=True) if w < wanted]
    assert not cut or min(cut) + 1 >= max(widths)


def test_a_table_too_wide_for_its_place_becomes_a_list() -> None:
    table = "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |\n"
    assert shown(MarkdownDocument(table), 12) == [
        "a: 1", "b: 2", "c: 3", "", "a: 4", "b: 5", "c: 6",
    ]  # fmt: skip


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\x9b", "\x1b", "\u200f"])
def test_what_entities_stand_for_is_harmless_too(character: str) -> None:
    entity = f"&#{ord(character)};"
    text = f"a{entity}b\n\n# c{entity}\n\n|d{entity}|\n|-|\n\n[e{entity}](http://f.g/{entity})\n\n"
    text += f"![h{entity}](http://i.j)\n\n```k{entity}\nl\n```\n"
    document = MarkdownDocument(text)
    assert document.codes == ["l"]
    assert character not in "".join(shown(document))


def test_tabs_in_code_between_words_are_blanks() -> None:
    assert shown(MarkdownDocument("`a\tb` c")) == ["a b c"]


@pytest.mark.parametrize(("end", "code"), [("``", "x\n``"), ("```", "x"), ("  ", "x\n  ")])
def test_an_answer_that_ends_in_a_fence_loses_nothing(end: str, code: str) -> None:
    assert MarkdownDocument("```\nx\n" + end).codes == [code]


@pytest.mark.parametrize("mark", ["> ", ">", "- ", "1. ", "> - ", "* > "])
def test_what_is_nested_too_deep_is_not_lost(mark: str) -> None:
    depth = 3000
    lines = shown(MarkdownDocument(mark * depth + "the end"))
    assert lines[-1].endswith("the end")
    nested = "\n".join("  " * level + f"- item {level}" for level in range(40))
    lines = shown(MarkdownDocument(nested + "\n- item 40\n\nAfter."), 200)
    assert all(f"item {level}" in " ".join(lines) for level in range(40))
    assert lines[-3:] == ["• item 40", "", "After."]


def test_many_links_in_a_line_take_time_in_proportion() -> None:
    tokens = Parser().parseInline("[a](http://b.cc) ")[0].children
    assert tokens is not None
    begin = process_time()
    assert len(inline_content(tokens * 25_000)) == 25_000 * len("a (http://b.cc) ")
    assert process_time() - begin < 5


@pytest.mark.parametrize(("line", "lines"), [(20_000, 1), (200, 200), (2, 10_000)])
def test_code_that_nobody_reads_is_not_highlighted(line: int, lines: int) -> None:
    document = MarkdownDocument("```json\n" + ('{"a": 1},' * line + "\n") * lines + "```")
    begin = process_time()
    assert document.leaves[0].height(76) > 2000
    assert process_time() - begin < 5
