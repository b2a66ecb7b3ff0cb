"""Versions of a turn compared word by word."""

from time import process_time

import pytest

from localfp4_tui.word_diff import Piece, word_diff
from tests.tui.fakes import FakeBackend
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_versions_of_an_answer_are_compared_word_by_word() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("say", "The cat sat down.")
        await chat.send("/diff")
        await chat.sees("only one answer was written")
        for answer in ("The dog sat down.", "The dog ran."):
            chat.backend.answers.append(answer)
            await chat.press("ctrl+r")
            await chat.sees(answer, "idle")
        await chat.send("/diff")
        await chat.sees("2/3", "→", "3/3", "The dog sat down. ran.")
        await chat.press("left")
        await chat.sees("1/3", "3/3", "cat")
        await chat.press("left", "[")
        await chat.sees("1/3", "2/3", "The cat dog sat down.")
        await chat.press("right")
        await chat.sees("3/3", "2/3")
        await chat.press("escape")
        await chat.sees("idle")
        await chat.select(2 if chat.screen.transcript.turn_widget(2) else 4)
        await chat.press("d")
        await chat.sees("→")


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        ("", "", []),
        ("a b", "a b", [Piece("same", "a b")]),
        ("a b", "a  c", [Piece("same", "a  "), Piece("removed", "b"), Piece("added", "c")]),
        ("", "new", [Piece("added", "new")]),
        ("x\ny\n", "y\n", [Piece("removed", "x\n"), Piece("same", "y\n")]),
    ],
)
def test_words_that_changed(old: str, new: str, pieces: list[Piece]) -> None:
    assert word_diff(old, new) == pieces


def test_long_texts_are_compared_in_bounded_time() -> None:
    old = "\n".join(f"line {i % 7} of many words that repeat" for i in range(900))
    new = " ".join(["word"] * 30_000) + "\n" + old
    began = process_time()
    pieces = word_diff(old, new)
    assert process_time() - began < 2.0
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new
