import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import EvaluationError
from localfp4.evaluate.windows import Window, cut, require_same_tokens, windowed_text
from tests.evaluate.fake_scorer import FakeScorer


def test_windows_that_do_not_overlap() -> None:
    assert cut([5, 6, 7, 8, 9], 3) == (
        Window((5, 6, 7), first=1, start=1),
        Window((8, 9), first=1, start=4),
    )


def test_a_start_token_stands_before_each_window_and_lets_its_first_token_count() -> None:
    assert cut([5, 6, 7, 8, 9], 3, start_token=1) == (
        Window((1, 5, 6), first=1, start=0),
        Window((1, 7, 8), first=1, start=2),
        Window((1, 9), first=1, start=4),
    )


def test_a_stride_lets_every_token_have_context() -> None:
    assert cut([5, 6, 7, 8, 9], 4, stride=2) == (
        Window((5, 6, 7, 8), first=1, start=1),
        Window((6, 7, 8, 9), first=3, start=4),
    )
    assert cut([5, 6, 7, 8, 9], 4, start_token=1, stride=1) == (
        Window((1, 5, 6, 7), first=1, start=0),
        Window((1, 6, 7, 8), first=3, start=3),
        Window((1, 7, 8, 9), first=3, start=4),
    )


@given(
    count=st.integers(2, 60),
    length=st.integers(2, 12),
    start=st.sampled_from([None, 1]),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_every_token_counts_once_in_its_place(
    count: int, length: int, start: int | None, data: st.DataObject
) -> None:
    room = length - (start is not None)
    stride = data.draw(st.one_of(st.none(), st.integers(1, room)))
    ids = list(range(100, 100 + count))
    windows = cut(ids, length, start, stride) if count > 1 else ()
    counted: list[int] = []
    for window in windows:
        assert len(window.ids) <= length
        assert window.ids[window.first :] == tuple(
            ids[window.start : window.start + len(window.targets)]
        )
        counted += window.targets
    if start is not None:
        assert counted == ids
    elif stride is not None and stride < room:
        assert counted == ids[1:]
    else:
        assert counted == [id_ for at, id_ in enumerate(ids) if at % room]


def test_predictions_are_of_the_tokens_that_count() -> None:
    logits = torch.arange(4.0)[:, None]
    window = Window((6, 7, 8, 9), first=2, start=3)
    assert window.predictions(logits).flatten().tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("ids", "length", "stride", "sentence"),
    [
        ([1], 4, None, "story has 1 tokens, which is too short"),
        ([], 4, None, "story has 0 tokens"),
        ([1, 2, 3], 1, None, "Windows of 1 tokens that advance by 1"),
        ([1, 2, 3], 4, 5, "Windows of 4 tokens that advance by 5"),
        ([1, 2, 3], 4, 0, "advance by 0"),
    ],
)
def test_too_little_is_a_sentence(
    ids: list[int], length: int, stride: int | None, sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        cut(ids, length, None, stride, "story")


def test_texts_are_cut_to_the_context_and_compared_with_the_reference() -> None:
    text = windowed_text(FakeScorer(context=8), "story", "abcdefghijkl", tokens=10)
    assert [len(window.ids) for window in text.windows] == [8, 2]
    assert text.counted == 8
    assert text.in_words() == ("story: 8 tokens in windows of 8; perplexities are per token.")
    other = windowed_text(FakeScorer(context=8, start=3), "story", "abcdefghijkl", tokens=10)
    require_same_tokens("m", text, text)
    with pytest.raises(EvaluationError, match="m makes other tokens of story than its reference"):
        require_same_tokens("m", other, text)
