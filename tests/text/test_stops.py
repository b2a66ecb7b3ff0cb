from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfp4.text.stops import StopStrings

few_letters = st.text(alphabet="ab🦜", min_size=1, max_size=5)


def _naive(text: str, stops: list[str]) -> tuple[str, bool]:
    """Read on until some stop string is complete; cut the longest that ends there."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(
    text=st.text(alphabet="ab🦜", max_size=40),
    stops=st.lists(few_letters, max_size=4),
    cuts=st.lists(st.integers(0, 40)),
)
def test_any_chunking_equals_a_naive_search(text: str, stops: list[str], cuts: list[int]) -> None:
    expected, expected_hit = _naive(text, stops)
    matcher = StopStrings(stops)
    shown, hit = "", False
    for start, end in pairwise([0, *sorted(cuts), len(text)]):
        piece, hit = matcher.add(text[start:end])
        shown += piece
        # Nothing of a stop string leaks, and no more than needed is held back.
        assert expected.startswith(shown)
        if not hit:
            assert len(text[: max(start, end)]) - len(shown) < max(map(len, stops), default=1)
    assert hit == expected_hit
    assert shown + matcher.flush() == expected


def test_a_stop_over_several_pieces() -> None:
    matcher = StopStrings(["</answer>"])
    assert matcher.add("yes </") == ("yes ", False)
    assert matcher.add("ans") == ("", False)
    assert matcher.add("wer> more") == ("", True)
    assert matcher.add("even more") == ("", True)
    assert matcher.flush() == ""


def test_a_beginning_that_does_not_complete_is_shown() -> None:
    matcher = StopStrings(["\n\nUser:"])
    assert matcher.add("a\n\nUse") == ("a", False)
    assert matcher.add("less") == ("\n\nUseless", False)


def test_a_beginning_at_the_end_is_flushed() -> None:
    matcher = StopStrings(["STOP"])
    assert matcher.add("ST") == ("", False)
    assert matcher.flush() == "ST"
    assert matcher.flush() == ""


@pytest.mark.parametrize("pieces", [["abcd"], list("abcd"), ["ab", "cd"]])
def test_the_stop_that_completes_first_wins(pieces: list[str]) -> None:
    matcher = StopStrings(["abcd", "bc"])
    results = [matcher.add(piece) for piece in pieces]
    assert "".join(text for text, _ in results) == "a"
    assert results[-1][1]


def test_of_stops_with_one_end_the_longest_is_cut() -> None:
    assert StopStrings(["b", "aab", "ab"]).add("caab") == ("c", True)


def test_without_stops_text_passes_at_once() -> None:
    matcher = StopStrings([])
    assert matcher.add("anything") == ("anything", False)
    assert matcher.flush() == ""


def test_a_long_self_similar_stop_takes_linear_time() -> None:
    # Comparing tails naively would take 10^10 steps here.
    stop = "a" * 100_000 + "b"
    matcher = StopStrings([stop])
    shown, hit = matcher.add("a" * 200_000)
    assert (len(shown), hit) == (100_000, False)
    assert matcher.add("b") == ("", True)
