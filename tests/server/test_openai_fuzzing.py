"""Whatever a body says is answered or refused in words."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.messages import TokenLogprob
from localfp4.server.openai.chat_request import ChatRequest
from localfp4.server.openai.completion_request import CompletionRequest
from localfp4.server.openai.logprobs import completion_logprobs
from tests.server.fakes import FakeEngine, finished
from tests.server.openai_app import chat, complete

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
WORDS = st.sampled_from(
    ["type", "function", "name", "text", "role", "user", "content", "schema", "json_schema", "tool"]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def bodies(model: type[ChatRequest] | type[CompletionRequest]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies in which some fields hold anything."""
    names = [*model.model_fields, *model.refused]
    return st.dictionaries(st.sampled_from(names), VALUES, min_size=1, max_size=3)


@pytest.mark.parametrize("ask", [chat, complete])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_value_of_any_field_is_heeded_or_refused(ask: Any, data: st.DataObject) -> None:
    fields = data.draw(bodies(ChatRequest if ask is chat else CompletionRequest))
    response = ask(FakeEngine([finished()]), **fields)
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        error = response.json()["error"]
        assert error["message"].endswith(".")
        assert len(error["message"]) < 1000


@given(text=st.text(max_size=12), cuts=st.sets(st.integers(0, 48)))
def test_offsets_count_the_characters_that_have_begun(text: str, cuts: set[int]) -> None:
    spelled = text.encode()
    places = sorted({0, len(spelled), *(cut for cut in cuts if cut < len(spelled))})
    pieces = [spelled[start:end] for start, end in pairwise(places)]
    tokens = [
        TokenLogprob(place, -1.0, (), piece.decode(errors="replace"), (), piece)
        for place, piece in enumerate(pieces)
    ]
    scored = completion_logprobs(tokens, offset=5)
    starts = [len(text.encode()[:place].decode(errors="ignore")) for place in places[:-1]]
    for offset, start, piece, name in zip(
        scored["text_offset"], starts, pieces, scored["tokens"], strict=True
    ):
        is_within = piece[0] & 0xC0 == 0x80
        assert offset == 5 + start + is_within
        assert name.startswith("bytes:") or name.encode() == piece
