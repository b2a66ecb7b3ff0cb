import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfp4.text.sanitize import TerminalSanitizer, sanitize

hostile_text = st.text(
    st.sampled_from("\x1b[]PX^_0;1mHa\\ (\x07\x18\n\r\t\x7f\x80\x9b\x9c\x9d\u202eé😀\ud800")
)


@given(pieces=st.lists(hostile_text | st.text(st.characters())))
def test_any_chunking_gives_the_same_safe_text(pieces: list[str]) -> None:
    sanitizer = TerminalSanitizer()
    streamed = "".join(sanitizer.add(piece) for piece in pieces) + sanitizer.flush()
    assert streamed == sanitize("".join(pieces))
    unsafe = {char for char in streamed if unicodedata.category(char) in ("Cc", "Cs")}
    assert unsafe <= {"\n", "\t"}
    assert not {unicodedata.bidirectional(char) for char in streamed} & {
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }
    streamed.encode()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"])))
def test_ordinary_text_is_untouched(text: str) -> None:
    assert sanitize(text) == text


@given(st.text(st.sampled_from("\x1b[;?0123456789 mHJ\n\tword")))
def test_seven_bit_sequences_go_as_a_whole(text: str) -> None:
    # ECMA-48: CSI, parameters, intermediates, final byte; or ESC, intermediates, final byte.
    # Only texts made of complete sequences have an answer in a regular expression.
    control = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b(?!\[)[ -/]*[0-~]")
    expected = control.sub("", text)
    if "\x1b" not in expected and not re.search(r"\[[0-?]*[ -/]+[0-?]", text):
        assert sanitize(text) == expected


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J",  # clears the screen
        "\x1b[38;2;1;2;3m",
        "\x1b[4@",  # the first of the final bytes; the last is ~
        "\x1b[3~",
        "\x1b[0 q",
        "\x9b31m",
        "\x1b]0;title\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",  # writes to the clipboard
        "\x9d8;;https://evil\x9c",
        "\x1bP$qm\x1b\\",
        "\x1b_payload\x1b\\",
        "\x1bc",  # resets the terminal
        "\x1b(0",  # changes the character set
        "\r",
        "\b",
        "\x7f",
        "\x85",
        "\u202e",
        "\u2066",
        "\u200f",
    ],
)
def test_hostile_sequences_leave_nothing(hostile: str) -> None:
    assert sanitize(f"a{hostile}b") == "ab"


@pytest.mark.parametrize("kept", ["a\tb\n", "👩‍👩‍👧‍👦🇩🇪", "שלום عربي", "naïve [1;2m] ]0;x"])
def test_harmless_text_stays(kept: str) -> None:
    assert sanitize(kept) == kept


def test_an_aborted_sequence_does_not_swallow_text() -> None:
    assert sanitize("a\x1b[12\nb") == "a\nb"
    assert sanitize("a\x1b]0;x\x18b") == "ab"
    assert sanitize("a\x1b[12é") == "aé"
    assert sanitize("a\x1b\x1b[1mb") == "ab"


@pytest.mark.parametrize("introducer", ["\x1b]", "\x1bP", "\x9d", "\x1b[", "\x1b"])
def test_an_unterminated_sequence_is_bounded(introducer: str) -> None:
    filler = " " if introducer == "\x1b" else "1"
    shown = sanitize(introducer + filler * 10_000 + "the end")
    assert shown.endswith("the end")
    assert len(shown) > 5_000


def test_flush_forgets_a_sequence() -> None:
    sanitizer = TerminalSanitizer()
    assert sanitizer.add("a\x1b]0;never ended") == "a"
    assert sanitizer.flush() == ""
    assert sanitizer.add("b") == "b"


def test_surrogates_become_printable() -> None:
    assert sanitize("a\ud800b\udc80") == "a\ufffdb\ufffd"
