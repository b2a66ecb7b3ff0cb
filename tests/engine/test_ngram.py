"""The place that the look-up finds, against a search through everything."""

import sys
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.engine.ngram import NgramIndex

LONGEST = 32


def longest_match(tokens: list[int]) -> int:
    """Return how many of the last tokens also stand at an earlier place, if at least two."""
    end, best = len(tokens), 0
    for place in range(2, end):
        length = 0
        while (
            length < min(place, LONGEST) and tokens[place - length - 1] == tokens[end - length - 1]
        ):
            length += 1
        best = max(best, length)
    return best if best >= 2 else 0


def looked_up(tokens: list[int], count: int = 4) -> tuple[int, ...]:
    index = NgramIndex()
    index.extend(tokens)
    return index.continuation(tokens, count)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=16))
def test_finds_the_longest_match_however_the_tokens_come(pieces: list[list[int]]) -> None:
    # So few pieces that every earlier place is among those it compares.
    index, tokens = NgramIndex(), []
    for piece in pieces:
        tokens += piece
        assert index.extend(tokens) == (len(tokens) > 1)
        assert index.length == longest_match(tokens)
        assert not index.extend(tokens)
        guessed = index.continuation(tokens, 3)
        assert len(guessed) == (3 if index.length else 0)


def test_what_followed_the_longest_match_is_proposed() -> None:
    assert looked_up([5, 1, 2, 3, 8, 9, 1, 2, 4, 7, 5, 1, 2]) == (3, 8, 9, 1)
    assert looked_up([1, 2, 3, 9, 1, 2, 4, 9, 1, 2]) == (4, 9, 1, 2), "the newest of equal ones"
    assert looked_up([1, 2, 3, 4, 5, 6]) == ()
    assert looked_up([1, 2, 3, 1]) == (), "one token is no match"
    assert looked_up([]) == looked_up([7]) == ()


def test_a_loop_goes_on() -> None:
    assert looked_up([1, 2, 3, 1, 2, 3, 1, 2], 7) == (3, 1, 2, 3, 1, 2, 3)
    assert looked_up([4, 4, 4], 5) == (4, 4, 4, 4, 4)
    assert looked_up([1, 2, 1, 2], 0) == ()


def test_a_copy_is_followed_and_left() -> None:
    index, tokens = NgramIndex(), [*range(100), 200, 10, 11]
    index.extend(tokens)
    assert index.continuation(tokens, 3) == (12, 13, 14)
    tokens += [12, 13]
    index.extend(tokens)
    assert index.length == 4
    assert index.continuation(tokens, 2) == (14, 15)
    tokens += [50, 51]
    index.extend(tokens)
    assert index.continuation(tokens, 2) == (52, 53)
    tokens.append(300)
    index.extend(tokens)
    assert index.length == 0


def test_time_and_memory_of_a_long_context_are_bounded() -> None:
    """A generous limit: about 0.05 s in all and 2 us a token on a slow core."""
    tokens = [number * 7919 % 5003 * (number % 911) for number in range(128_000)]
    index = NgramIndex()
    begun = time.perf_counter()
    index.extend(tokens)
    for token in tokens[:500]:
        tokens.append(token)
        index.extend(tokens)
        index.continuation(tokens, 8)
    assert time.perf_counter() - begun < 2
    assert index.length == LONGEST
    assert sys.getsizeof(index._newest) + sys.getsizeof(index._older) < 16e6
