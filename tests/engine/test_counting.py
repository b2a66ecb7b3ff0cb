"""Counting tokens over the pipe: sums, pieces, several callers, deaths."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import EngineConfig
from localfp4.engine.client import EngineClient
from localfp4.engine.counting import PIECE_CHARS, batches
from localfp4.errors import EngineDiedError, RequestError
from localfp4.messages import Delta, Request
from localfp4.text.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def _fake_engine_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@settings(max_examples=30)
@given(texts=st.lists(st.text("ab \n", max_size=50), max_size=8), times=st.integers(1, 800))
def test_pieces_are_bounded_and_lose_nothing(texts: list[str], times: int) -> None:
    texts = [text * times for text in texts]
    whole = [""] * len(texts)
    for batch in batches(texts):
        assert sum(len(piece) for _, piece in batch) <= PIECE_CHARS
        for place, piece in batch:
            whole[place] += piece
    assert whole == texts


def test_few_texts_are_one_batch_and_long_ones_are_cut_between_words() -> None:
    assert list(batches(["a b", "", "c"])) == [[(0, "a b"), (1, ""), (2, "c")]]
    cut = [piece for batch in batches(["word " * 5000]) for _, piece in batch]
    assert all(piece.startswith(" word") for piece in cut[1:])
    assert [len(piece) for batch in batches(["x" * 20_000]) for _, piece in batch] == [
        PIECE_CHARS,
        PIECE_CHARS,
        20_000 - 2 * PIECE_CHARS,
    ]


def test_the_pieces_of_prose_have_as_many_tokens_as_all_of_it(demo_folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(demo_folder)
    prose = (demo_folder.parent / "heldout.txt").read_text(encoding="utf-8")
    pieces = [piece for batch in batches([prose]) for _, piece in batch]
    assert len(pieces) > 5
    assert abs(sum(map(tokenizer.count, pieces)) - tokenizer.count(prose)) <= len(pieces)


def test_a_client_counts_while_answers_are_written() -> None:
    client = EngineClient(EngineConfig("echo"), loader="fake_engine:load_engine")
    with pytest.raises(EngineDiedError, match="not running"):
        client.count_tokens(["one"])
    list(client.load())
    try:
        assert client.count_tokens([]) == []
        assert client.count_tokens(["one two", "", "three"]) == [2, 0, 1]
        events = client.stream(Request("long", prompt="repeat 100000"))
        next(events)
        with ThreadPoolExecutor() as pool:
            long = "word " * 10_000
            counts = list(pool.map(client.count_tokens, [[long, "a b"]] * 4))
        assert counts == [[10_000, 2]] * 4
        assert isinstance(next(events), Delta)
        events.close()
        with pytest.raises(RequestError, match="no tokenizer"):
            client.count_tokens(["fine", "refuse this"])
        with pytest.raises(EngineDiedError, match="tokenizer went wrong"):
            client.count_tokens(["crash"])
        with pytest.raises(EngineDiedError, match="tokenizer went wrong"):
            client.count_tokens(["again"])
    finally:
        client.close()


def test_closing_wakes_who_counts() -> None:
    client = EngineClient(EngineConfig("echo"), loader="fake_engine:load_engine")
    list(client.load())
    ended: list[str] = []

    def count() -> None:
        try:
            while True:
                client.count_tokens(["word " * 5000] * 50)
        except EngineDiedError as error:
            ended.append(str(error))

    counting = Thread(target=count)
    counting.start()
    client.close()
    counting.join(20)
    assert ended
