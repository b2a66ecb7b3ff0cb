from collections.abc import Callable, Sequence
from itertools import chain

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

from localfp4.text.detokenizer import WindowDetokenizer
from localfp4.text.tokenizer import Tokenizer

Backends = Callable[[str], tokenizers.Tokenizer]
FALLBACK = ["llama-2", "gemma"]


def _stream(tokenizer: Tokenizer, ids: list[int], skip: bool = True) -> list[str]:
    detokenizer = tokenizer.detokenizer(skip_special_tokens=skip)
    return [*(detokenizer.add(id_) for id_ in ids), detokenizer.flush()]


def _byte_ids(tokenizer: Tokenizer, data: bytes) -> list[int]:
    ids = [tokenizer.token_id(f"<0x{byte:02X}>") for byte in data]
    return [id_ for id_ in ids if id_ is not None]


@given(data=st.data(), skip=st.booleans())
def test_any_byte_level_ids_stream_as_they_decode(
    backends: Backends, data: st.DataObject, skip: bool
) -> None:
    backend = backends("byte-level")
    # Ids beyond the vocabulary too: logits are often wider than it.
    ids = data.draw(st.lists(st.integers(0, backend.get_vocab_size() + 9)))
    streamed = "".join(_stream(Tokenizer(backend), ids, skip))
    assert streamed == backend.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("kind", ["metaspace", "word-piece", "undecoded"])
@given(data=st.data(), skip=st.booleans())
def test_any_ids_without_bytes_stream_as_they_decode(
    backends: Backends, kind: str, data: st.DataObject, skip: bool
) -> None:
    backend = backends(kind)
    ids = data.draw(st.lists(st.integers(0, backend.get_vocab_size() - 1)))
    streamed = "".join(_stream(Tokenizer(backend), ids, skip))
    assert streamed == backend.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("kind", FALLBACK)
@given(data=st.data(), skip=st.booleans())
def test_any_fallback_ids_with_valid_bytes_stream_as_they_decode(
    backends: Backends, kind: str, data: st.DataObject, skip: bool
) -> None:
    backend = backends(kind)
    tokenizer = Tokenizer(backend)
    anything_but_bytes = st.sampled_from([0, 1, 2, *range(259, backend.get_vocab_size())])
    runs = st.one_of(
        st.text(min_size=1).map(lambda text: _byte_ids(tokenizer, text.encode())),
        anything_but_bytes.map(lambda id_: [id_]),
    )
    ids = list(chain.from_iterable(data.draw(st.lists(runs))))
    assert "".join(_stream(tokenizer, ids, skip)) == backend.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("kind", FALLBACK)
@given(data=st.binary())
def test_fallback_bytes_are_read_as_utf8(backends: Backends, kind: str, data: bytes) -> None:
    tokenizer = Tokenizer(backends(kind))
    start = tokenizer.encode("a")
    streamed = "".join(_stream(tokenizer, [*start, *_byte_ids(tokenizer, data)]))
    assert streamed == "a" + data.decode("utf-8", "replace")


@pytest.mark.parametrize("kind", ["byte-level", *FALLBACK])
@given(text=st.text())
def test_no_piece_splits_a_character(backends: Backends, kind: str, text: str) -> None:
    tokenizer = Tokenizer(backends(kind))
    text = text.replace("\ufffd", "").replace("▁", "")
    ids = tokenizer.encode(text)
    pieces = _stream(tokenizer, ids, skip=False)
    assert "\ufffd" not in "".join(pieces)
    assert pieces[-1] == ""
    assert "".join(pieces) == text


@pytest.mark.parametrize("kind", ["byte-level", *FALLBACK])
@pytest.mark.parametrize("emoji", ["🦜", "🫠", "👩‍🚀", "𒀀"])
def test_a_character_over_several_tokens_comes_whole(
    backends: Backends, kind: str, emoji: str
) -> None:
    tokenizer = Tokenizer(backends(kind))
    ids = tokenizer.encode(emoji)
    assert len(ids) > len(emoji)
    pieces = [piece for piece in _stream(tokenizer, ids) if piece]
    assert "".join(pieces) == emoji
    assert set("".join(pieces)) == set(emoji)


@pytest.mark.parametrize("kind", FALLBACK)
@pytest.mark.parametrize("text", ["   x", "x  y ", " ", "   "])
def test_only_the_space_that_encoding_added_is_stripped(
    backends: Backends, kind: str, text: str
) -> None:
    tokenizer = Tokenizer(backends(kind))
    assert "".join(_stream(tokenizer, tokenizer.encode(text))) == text


def test_only_truncated_tails_are_held_back(backends: Backends) -> None:
    tokenizer = Tokenizer(backends("llama-2"))
    detokenizer = tokenizer.detokenizer()
    steps = [
        (b"\xf0", ""),
        (b"\x9f", ""),
        (b"\x98", ""),
        (b"\x80", "😀"),
        (b"\xff", "\ufffd"),  # begins no character: certain at once
        (b"\xe2", ""),
        (b"A", "\ufffdA"),  # the character before it can no longer be completed
        (b"\xe2", ""),
        (b"\x82", ""),
        (b"\xc3", "\ufffd"),  # and here a new one begins
        (b"\xa9", "é"),
    ]
    for data, expected in steps:
        assert detokenizer.add(_byte_ids(tokenizer, data)[0]) == expected
    assert detokenizer.flush() == ""


@pytest.mark.parametrize("kind", ["byte-level", *FALLBACK])
def test_a_replacement_character_of_the_model_is_not_held_back(
    backends: Backends, kind: str
) -> None:
    tokenizer = Tokenizer(backends(kind))
    ids = tokenizer.encode("\ufffd" * 3)
    detokenizer = tokenizer.detokenizer()
    assert "".join(detokenizer.add(id_) for id_ in ids) == "\ufffd" * 3
    assert detokenizer.flush() == ""


def test_replacement_characters_do_not_grow_the_window(backends: Backends) -> None:
    tokenizer = Tokenizer(backends("word-piece"))
    detokenizer = tokenizer.detokenizer()
    token = tokenizer.token_id("\ufffd")
    assert token is not None
    shown = "".join(detokenizer.add(token) for _ in range(50))
    assert 46 <= shown.count("\ufffd") < 50
    assert (shown + detokenizer.flush()).count("\ufffd") == 50


@pytest.mark.parametrize("kind", ["byte-level", *FALLBACK])
def test_an_end_within_a_character_is_flushed(backends: Backends, kind: str) -> None:
    tokenizer = Tokenizer(backends(kind))
    ids = tokenizer.encode("ok🦜")[:-1]
    detokenizer = tokenizer.detokenizer()
    assert "".join(detokenizer.add(id_) for id_ in ids) == "ok"
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


def test_special_tokens_are_skipped_and_other_added_ones_kept(backends: Backends) -> None:
    tokenizer = Tokenizer(backends("byte-level"))
    ids = tokenizer.encode("<|im_start|><think>hm</think>日本<\uff5cbegin▁of▁text\uff5c>")
    assert "".join(_stream(tokenizer, ids)) == "<think>hm</think>日本"
    assert "".join(_stream(tokenizer, ids, skip=False)) == (
        "<|im_start|><think>hm</think>日本<\uff5cbegin▁of▁text\uff5c>"
    )


def test_a_special_token_within_a_character_does_not_break_it(backends: Backends) -> None:
    tokenizer = Tokenizer(backends("byte-level"))
    first, *rest = tokenizer.encode("🦜")
    special = tokenizer.token_id("<|im_end|>")
    assert special is not None
    assert "".join(_stream(tokenizer, [first, special, *rest])) == "🦜"


def test_bytes_kept_as_added_tokens_are_bytes() -> None:
    # DeepSeek Coder's vocabulary: 0xF8 is missing from the model, and added as "ø".
    backend = tokenizers.Tokenizer(models.BPE())
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(["Ã", "ø", "\u00b8", "é x"])
    detokenized = "".join(_stream(Tokenizer(backend), [0, 2, 3, 1]))
    assert detokenized == backend.decode([0, 2, 3, 1]) == "øé x\ufffd"


@pytest.mark.parametrize("kind", ["word-piece", "undecoded"])
def test_the_work_per_token_is_bounded(backends: Backends, kind: str) -> None:
    tokenizer = Tokenizer(backends(kind))
    decoded: list[int] = []

    def decode(ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return tokenizer.decode(ids)

    detokenizer = WindowDetokenizer(decode, lambda _: "")
    for id_ in tokenizer.encode("one two the tokens \ufffd" * 50):
        detokenizer.add(id_)
    assert max(decoded) <= 8
