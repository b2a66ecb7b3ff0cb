"""What is written and what it stands for: folded passages, attached files, words to complete."""

import codecs
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4_tui import completion
from localfp4_tui.attachments import (
    blocks,
    find_mentions,
    folded,
    mention_spans,
    quoted,
    with_files,
)
from localfp4_tui.completion import Entry, Word, list_folder, suggest_paths, word_before
from localfp4_tui.draft import MOST_PASTED, Draft
from localfp4_tui.editor import editor_command
from localfp4_tui.folds import Folds
from localfp4_tui.plain_text import plain
from localfp4_tui.text_files import MOST_BYTES, read_text_file

FEW = settings(max_examples=20, deadline=None)
LABEL_LIKE = st.sampled_from(["[Pasted #1 +11 lines]", "[Pasted #2 +1,001 characters]", "]", "#1"])
PASSAGES = st.one_of(
    st.text(max_size=30),
    st.integers(10, 14).map(lambda lines: "line\n" * lines),
    st.integers(999, 1002).map(lambda length: "x" * length),
    st.lists(st.one_of(LABEL_LIKE, st.text(max_size=5))).map("".join),
)


# Folding


@FEW
@given(st.lists(PASSAGES, max_size=6))
def test_what_is_folded_comes_back_as_it_was(passages: list[str]) -> None:
    folds = Folds()
    shown = ""
    for passage in passages:
        shown += folds.fold_if_long(passage, beside=shown)
    assert folds.expand(shown) == "".join(passages)


def test_a_label_tells_the_size_of_what_it_stands_for() -> None:
    folds = Folds()
    assert folds.fold_if_long("short\n" * 10) == "short\n" * 10
    assert folds.fold_if_long("row\n" * 40) == "[Pasted #1 +40 lines]"
    assert folds.fold_if_long("y" * 1200) == "[Pasted #2 +1200 characters]"
    assert folds.expand("a [Pasted #2 +1200 characters] b") == f"a {'y' * 1200} b"
    assert folds.expand("[Pasted #3 +40 lines]") == "[Pasted #3 +40 lines]"


@pytest.mark.parametrize(
    ("pasted", "kept"),
    [
        ("one\rtwo\r\nthree\n", "one\ntwo\nthree\n"),
        ("\x1b[31mred\x1b[0m \x07bell", "red bell"),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
        ("\x1b[1m" * 200 + "bold", "bold"),
    ],
)
def test_pasted_text_is_made_plain(pasted: str, kept: str) -> None:
    assert Draft().pasted(pasted, "") == kept


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        ("ELF\x00\x01", "binary data"),
        ("\ufffd\x01\x02abc\x05", "binary data"),
        ("x" * (MOST_PASTED + 1), "4.0 million characters; the prompt takes 4 million at most"),
    ],
    ids=["nul", "unprintable", "too much"],
)
def test_what_cannot_be_pasted_is_refused(pasted: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        Draft().pasted(pasted, "")


def test_a_message_comes_back_with_its_files_folded_and_is_sent_the_same_again() -> None:
    draft = Draft()
    sent = with_files("see @a.md and that", [("a.md", "x\n" * 3), ("b.py", "```\n``\n")])
    shown = draft.returned(sent)
    assert shown == "see @a.md and that\n\n[a.md #1 +3 lines]\n\n[b.py #2 +2 lines]"
    assert draft.complete(shown) == sent
    long = "word " * 5000
    assert draft.returned(long) == "[Pasted #3 +25000 characters]"


def test_a_message_comes_back_with_its_pastes_folded_as_they_were() -> None:
    draft = Draft()
    first = draft.pasted("row\n" * 40, "")
    shown = f"see {first} and {draft.pasted('y' * 1200, first)}; {draft.pasted('row', first)}"
    sent = draft.complete(with_files(shown, [("a.md", "row\n" * 40)]))
    later = draft.another()
    back = "see [Pasted #1 +40 lines] and [Pasted #2 +1200 characters]; row\n\n[a.md #3 +40 lines]"
    assert later.returned(sent) == back
    assert later.complete(back) == sent
    assert later.another().returned(" " + "row\n" * 39 + "row") == " [Pasted #1 +40 lines]"
    assert Draft().returned(sent).startswith("see row"), "nothing was pasted here"


def test_a_long_message_with_a_file_comes_back_whole() -> None:
    draft = Draft()
    sent = with_files("word " * 5000, [("a.md", "x\n")])
    assert draft.complete(draft.returned(sent)) == sent


# Files in a message


@FEW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.py", "my notes.md", "src/x.c++", "File: x"]),
            st.text(st.sampled_from("`~\n a"), min_size=1, max_size=40),
        ),
        max_size=4,
    ),
    st.text(st.sampled_from("`\n ab"), max_size=30),
)
def test_files_are_found_again_whatever_is_in_them(files: list[tuple[str, str]], text: str) -> None:
    message = with_files(text, files)
    assert [(block.name, block.text) for block in blocks(message)] == [
        (name, content.removesuffix("\n")) for name, content in files
    ]
    assert message.startswith(text)


def test_a_message_is_shown_without_its_files_and_not_endlessly() -> None:
    message = with_files("What is this? @a.py", [("a.py", "x = 1\n" * 50)])
    assert folded(message) == "What is this? @a.py\n\n[a.py · 50 lines]"
    long = with_files("row\n" * 60, [("a.py", "x = 1")])
    assert folded(long).endswith("row …\n[+50 lines]\n\n[a.py · 1 line]")
    assert folded("short\n" * 40) == "short\n" * 40
    shown = folded("\n".join(f"line {i}" for i in range(1000)))
    assert shown.startswith("line 0\n")
    assert shown.endswith("line 9 …\n[+990 lines]")
    assert folded("z" * 10_000) == "z" * 4000 + " …\n[+6000 characters]"
    assert folded("File: a\n```\nnever closed") == "File: a\n```\nnever closed"


def test_finding_files_takes_linear_time() -> None:
    opened = "File: a\n````md\n" * 50_000
    assert blocks(opened) == []
    assert len(blocks(opened + "````")) == 1


# Mentions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "src").mkdir()
    for name in ("notes.md", "my notes.md", "src/app.py", "home/at home.txt", ".hidden", "odd.)"):
        (tmp_path / name).write_text(f"in {name}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@notes.md", ["notes.md"]),
        ("read @notes.md, then (@src/app.py).", ["notes.md", "src/app.py"]),
        ('"@notes.md" is not at the start of a word', []),
        ('look at @"my notes.md"!', ["my notes.md"]),
        ('@"~/at home.txt" twice', ["~/at home.txt"]),
        ("@odd.)", ["odd.)"]),
        ("me@notes.md is an address, @property a decorator, @types/node a package", []),
        ("@app.route('/x')\n@notes.md", ["notes.md"]),
        ("@src/missing.py was meant", ["src/missing.py"]),
        ('@"nowhere" was meant too', ["nowhere"]),
        ("@", []),
        ("@/x @...", []),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mentions_are_files_and_other_words_are_not(text: str, names: list[str]) -> None:
    assert [mention.name for mention in find_mentions(text)] == names
    marked = [text[start:end].strip('@"') for start, end in mention_spans(text, names)]
    assert marked == names


@pytest.mark.usefixtures("folder")
def test_a_pasted_passage_attaches_nothing() -> None:
    draft = Draft()
    passage = "@notes.md\n" * 20
    assert draft.complete(draft.pasted(passage, "")) == passage


@pytest.mark.parametrize("folder", ["a" * 300, "private"])
def test_folders_that_cannot_be_looked_into_are_no_folders(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.stat

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if "private" in str(path):
            raise PermissionError(13, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert find_mentions(f"@private/{folder}/notes.md") == []


@pytest.mark.usefixtures("folder")
def test_a_file_is_attached_once_however_often_it_is_mentioned() -> None:
    whole = Draft().complete("@notes.md, @notes.md")
    assert [block.text for block in blocks(whole)] == ["in notes.md"]


def test_a_file_that_changes_or_goes_after_it_was_seen_is_told_of(folder: Path) -> None:
    draft = Draft()
    draft.note_seen(draft.attachments("@notes.md"))
    (folder / "notes.md").write_text("quite another text", encoding="utf-8")
    with pytest.raises(RequestError, match=r"notes\.md has changed since it was attached"):
        draft.complete("@notes.md")
    assert "quite another text" in draft.complete("@notes.md")
    draft.note_seen(draft.attachments("@notes.md"))
    (folder / "notes.md").unlink()
    with pytest.raises(RequestError, match=r"There is no file notes\.md"):
        draft.complete("@notes.md")


# Reading

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
REFUSED = [
    ("cat.png", PNG, "Tiny reads text only; cat.png is a picture."),
    ("cat.jpg", b"\xff\xd8\xff\xe0", "cat.jpg is a picture."),
    ("cat.gif", b"GIF89a", "cat.gif is a picture."),
    ("cat.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "cat.webp is a picture."),
    ("cat.heic", b"\x00\x00\x00\x18ftypheic", "cat.heic is a picture."),
    ("cat.bmp", b"BM\x00\x01", "cat.bmp is a picture."),
    ("no-suffix", PNG, "no-suffix is a picture."),
    ("a.pdf", b"%PDF-1.7\n", "a.pdf is a PDF; copy its text into a text file first."),
    ("a.docx", b"PK\x03\x04...", "a.docx is a Word document; save it as plain text first."),
    ("a.zip", b"PK\x03\x04...", "a.zip is a ZIP archive; unpack it"),
    ("a.mp4", b"\x00\x00\x00\x18ftypisom", "a.mp4 is a video."),
    ("a.gguf", b"GGUF\x03", "a.gguf is a model."),
    ("a.bin", b"abc\x00def", "a.bin holds binary data, not text."),
    ("b.bin", b"\x01\x02\x03\x04abc", "b.bin holds binary data, not text."),
    ("latin.txt", "caf\u00e9".encode("latin-1"), "latin.txt is not text in UTF-8; save it as"),
    ("empty.txt", b"", "empty.txt is empty; there is nothing to attach."),
    ("mark.txt", codecs.BOM_UTF8, "mark.txt is empty; there is nothing to attach."),
    ("escapes.txt", b"\x1b\x1b \n", "escapes.txt is empty; there is nothing to attach."),
    ("big.log", b"x" * (MOST_BYTES + 1), "big.log has more than 2,000,000 bytes, the most to"),
]


@pytest.mark.parametrize(("name", "data", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_no_text_is_refused_in_a_sentence(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RequestError) as refusal:
        read_text_file(tmp_path / name, name, reader="Tiny")
    assert reason in str(refusal.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_every_encoding_that_says_so(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "notes.md"
    file.write_bytes("caf\u00e9\r\n\x1b[31mred\x1b[0m".encode(encoding))
    assert read_text_file(file, "notes.md", reader="Tiny").text == "caf\u00e9\nred"


def test_what_is_no_ordinary_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    cases = [(tmp_path, "is a folder"), (tmp_path / "none", "There is no file x.")]
    cases += [(tmp_path / "a" / "b", "There is no file"), (Path("a\x00b"), "could not be read")]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        (tmp_path / "dangling").symlink_to(tmp_path / "none")
        cases += [(tmp_path / "pipe", "is a device or a pipe"), (Path("/dev/zero"), "is a device")]
        cases += [(tmp_path / "loop", "could not be read"), (tmp_path / "dangling", "no file x.")]
    for path, reason in cases:
        with pytest.raises(RequestError, match=reason):
            read_text_file(path, "x", reader="Tiny")


@pytest.mark.skipif(os.name == "nt", reason="has no files that are not ready")
def test_what_is_no_file_any_more_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # who has written nothing yet
    (tmp_path / "notes.md").write_text("x", encoding="utf-8")
    opened = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: opened(tmp_path / "pipe", flags))
    with pytest.raises(RequestError, match=r"notes\.md is empty"):
        read_text_file(tmp_path / "notes.md", "notes.md", reader="Tiny")
    os.close(writer)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("x", encoding="utf-8")

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    with pytest.raises(RequestError, match="secret may not be read: permission denied"):
        read_text_file(file, "secret", reader="Tiny")


# Completion


@pytest.mark.parametrize(
    ("text", "is_all", "word"),
    [
        ("/", True, Word("command", 0, "/", "")),
        ("/he", True, Word("command", 0, "/he", "he")),
        ("/he", False, None),
        ("/set tem", True, Word("argument", 5, "tem", "tem", "set")),
        ("/file src/a b", True, Word("path", 6, "src/a b", "src/a b", "file")),
        ("see @no", False, Word("path", 4, "@no", "no")),
        ("(@src/", True, Word("path", 1, "@src/", "src/")),
        ('@"my no', True, Word("path", 0, '@"my no', "my no")),
        ('@"my notes.md" ', True, None),
        ("me@no", True, None),
        ("@no ", True, None),
        ("no/thing", True, None),
    ],
)
def test_the_word_under_way(text: str, is_all: bool, word: Word | None) -> None:
    assert word_before(text, is_all=is_all) == word


def test_commands_and_arguments_are_found_by_their_beginning_or_else_by_a_part() -> None:
    command = Word("command", 0, "/ex", "ex")
    assert [s.text for s in completion.suggest_commands(command)] == ["/export ", "/exit"]
    part = Word("command", 0, "/ontex", "ontex")
    assert [s.label for s in completion.suggest_commands(part)] == ["/context"]
    think = Word("argument", 7, "o", "o", "think")
    options = [(name, "") for name in completion.FIXED_ARGUMENTS["think"]]
    assert [s.text for s in completion.suggest_arguments(think, options)] == ["on", "off"]


def test_paths_are_completed_with_quotes_where_they_need_them(folder: Path) -> None:
    entries = list_folder("")
    assert [entry.name for entry in entries][:2] == ["home", "src"]

    def texts(text: str) -> list[str]:
        word = word_before(text, is_all=True)
        assert word is not None
        return [s.text for s in suggest_paths(word, list_folder(word.folder))]

    assert texts("@my") == ['@"my notes.md" ']
    assert texts('@"my n') == ['@"my notes.md" ']
    assert texts("@src/") == ["@src/app.py "]
    assert texts("@s") == ["@src/"]
    assert texts("@~/at") == ['@"~/at home.txt" ']
    assert texts("@.h") == ["@.hidden "]
    assert texts("/file my") == ["my notes.md"]
    assert ".hidden" not in "".join(texts("@"))
    assert texts("@nowhere/") == []
    assert texts("@odd") == ['@"odd.)" ']


def test_names_that_a_terminal_cannot_show_are_not_offered(tmp_path: Path) -> None:
    for name in ("good", "bad\x1b[31m", "new\nline", 'quo"te'):
        (tmp_path / name).touch()
    assert list_folder(str(tmp_path)) == [Entry("good", 0)]


@FEW
@given(st.text(st.characters(exclude_characters='/"\x00', exclude_categories=["C", "Z"])))
def test_a_completed_mention_is_found_again(name: str) -> None:
    written = quoted(f"no/such/{name}.txt")
    found = find_mentions(f"see {written} now", meant=[f"no/such/{name}.txt"])
    assert [mention.name for mention in found] == [f"no/such/{name}.txt"]


@given(st.text())
@FEW
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(plain(text)) == plain(text)


# The editor


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"VISUAL": "code --wait", "EDITOR": "vi"}, ["code", "--wait"]),
        ({"VISUAL": " ", "EDITOR": "'my editor' -n"}, ["my editor", "-n"]),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="quotes as in a POSIX shell")
def test_the_editor_is_the_one_of_the_environment(
    environment: dict[str, str], command: list[str]
) -> None:
    assert editor_command(environment) == command


def test_an_editor_that_cannot_be_found_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No editor was found"):
        editor_command({"PATH": str(tmp_path)})
    with pytest.raises(RequestError, match="EDITOR names no editor: 'open"):
        editor_command({"EDITOR": "'open"})
