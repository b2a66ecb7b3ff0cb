"""Searching the history: what is found, what is never an error, and what is shown of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.history import Match, SqliteHistory, Turn, full_text, listing
from localfp4.history.excerpt import one_line, plain_excerpt
from localfp4.text.sanitize import sanitize

SAID = [
    "What is NVFP4? It has 4-bit weights.",
    "Ein Café in Zürich, near the lake; a-b * c",
    "東京は日本の首都です。",
    'He said "NEAR the end" and OR, NOT, 100% of C++ and x_y',
    "begin " * 200 + "needle in\n\nthe\thaystack" + " end" * 200,
    "naïve \x1b[31mred\x1b[0m \u202eword\x00s",
]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:
        fill(history)
        yield history


def fill(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    turns = [Turn(i, i - 1 or None, "user", text) for i, text in enumerate(SAID, 1)]
    history.save(conversation, turns, leaf=1, title="Mixed bag", model="demo", system=None)


def ids(matches: list[Match]) -> set[int]:
    return {match.turn for match in matches}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("nvfp4", {1}),
        ("weights what", {1}),
        ("wei", {1}),
        ("wei what", set()),
        ("cafe", {2}),
        ("CAFÉ zurich", {2}),
        ("near", {2, 4}),
        ('"NEAR', {4, 2}),
        ("日本", {3}),
        ("首都で", {3}),
        ("本日", set()),
        ("東京 nvfp4", set()),
        ("*", {2}),
        ("100%", {4}),
        ("%", {4}),
        ("C++", {2, 4}),
        ("x_y", {4}),
        ("a-b", {2}),
        ("needle haystack", {5}),
        ("naive word", {6}),
        ("word " * 10**5, {6}),
        ("", set()),
        ("  ", set()),
        ("\0", set()),
        ("unheard", set()),
        ("a" * 100_000, set()),
    ],
)
def test_turns_that_hold_all_words_are_found(
    words: str, found: set[int], history: SqliteHistory
) -> None:
    assert ids(history.search(words)) == found


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from('"*^:(){}+-~\\%_.,; aéNEAROTD日\0\x1b\ud800')) | st.text(max_size=8))
def test_nothing_that_is_typed_is_an_error(words: str) -> None:
    for match in SHARED.search(words):
        line, found = match.excerpt, match.found
        assert sanitize(line) == line
        assert "\n" not in line
        assert all(0 <= start < end <= len(line) for start, end in found)


@pytest.fixture(autouse=True, scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global SHARED
    with closing(SqliteHistory.open(tmp_path_factory.mktemp("shared") / "history.db")) as SHARED:
        fill(SHARED)
        yield


SHARED: SqliteHistory


def test_an_excerpt_shows_where_the_words_are(history: SqliteHistory) -> None:
    (match,) = history.search("needle hay")
    assert "needle in the haystack" in match.excerpt
    assert len(match.excerpt) < 250
    assert [match.excerpt[start:end] for start, end in match.found] == ["needle", "haystack"]
    assert (match.summary.title, match.summary.turns) == ("Mixed bag", len(SAID))
    (match,) = history.search("首都")
    assert [match.excerpt[start:end] for start, end in match.found] == ["首都"]


def test_the_best_come_first_and_no_more_than_wanted(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    texts = ["word " + "filler " * 300, "word", "word word word"]
    turns = [Turn(i, None, "user", text) for i, text in enumerate(texts, 1)]
    history.save(conversation, turns, leaf=1, title="", model="demo", system=None)
    assert [match.turn for match in history.search("word")][-1] == 1
    assert len(history.search("word", 2)) == 2


def test_titles_are_searched_too(history: SqliteHistory) -> None:
    (match,) = history.search("BAG mix")
    assert (match.excerpt, match.found) == ("Mixed bag", ((0, 3), (6, 9)))
    assert match.turn == len(SAID)


def test_the_index_follows_edits_renames_pieces_and_deletions(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(SqliteHistory.open(path)) as history:
        facts = {"leaf": 1, "title": "", "model": "demo", "system": None}
        first, second = history.start("demo"), history.start("demo")
        history.save(first, [Turn(1, None, "user", "apple")], **facts)  # type: ignore[arg-type]
        history.save(first, [Turn(1, None, "user", "pear")], **facts)  # type: ignore[arg-type]
        assert (history.search("apple"), ids(history.search("pear"))) == ([], {1})
        history.extend(second, Turn(1, None, "assistant", ""), "ban", "")
        history.extend(second, Turn(1, None, "assistant", ""), "ana", "")
    with closing(SqliteHistory.open(path)) as history:
        assert [match.summary.id for match in history.search("banana")] == [second]
        history.delete(first)
        assert history.search("pear") == []
        check = "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)"
        history._database._connection.execute(check)


def test_without_fts5_it_is_searched_as_text_and_the_index_is_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    with monkeypatch.context() as patch:
        for module in (full_text, listing):
            patch.setattr(module, "has_fts5", lambda connection: False)
        with closing(SqliteHistory.open(path)) as history:
            fill(history)
            (match,) = history.search("NEEDLE hay")
            found = [match.excerpt[start:end] for start, end in match.found]
            assert found == ["needle", "hay"]
            assert ids(history.search("100%")) == {4}
            assert ids(history.search("nothing%")) == set()
    for _ in range(2):
        with closing(SqliteHistory.open(path)) as history:
            assert ids(history.search("cafe")) == {2}
    with monkeypatch.context() as patch:
        for module in (full_text, listing):
            patch.setattr(module, "has_fts5", lambda connection: False)
        with closing(SqliteHistory.open(path)) as history:
            history.load(1)
            turn = Turn(1, None, "user", "Ein Cafeteria")
            history.save(1, [turn], leaf=1, title="", model="demo", system=None)
    with closing(SqliteHistory.open(path)) as history:
        assert ids(history.search("cafe")) == {1}
        assert history.search("needle") == []


def test_a_plain_excerpt_is_cut_out_of_long_text() -> None:
    line, found = plain_excerpt("x " * 500 + "Here" + " y" * 500, ["here"])
    assert line.startswith("…x x")
    assert line.endswith("y…")
    assert [line[start:end] for start, end in found] == ["Here"]
    assert plain_excerpt("short", ["no"]) == ("short", ())


def test_one_line_holds_nothing_that_a_terminal_obeys() -> None:
    every_char = "".join(chr(code) for code in range(0x3000))
    line = one_line(every_char)
    assert sanitize(line) == line
