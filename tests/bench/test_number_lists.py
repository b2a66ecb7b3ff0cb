from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.planning.number_lists import numbers
from localfp4.errors import UserError

counts = st.integers(1, 10**6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1,)),
        ("1,4,16", (1, 4, 16)),
        (" 1 , 4 ", (1, 4)),
        ("007", (7,)),
        ("4,1,4,1", (4, 1)),
        ("128..8192*2", (128, 256, 512, 1024, 2048, 4096, 8192)),
        ("128..512+128", (128, 256, 384, 512)),
        ("128..500+128", (128, 256, 384)),
        ("3..6", (3, 4, 5, 6)),
        ("5..5*1000", (5,)),
        ("1,2..8*2,6", (1, 2, 4, 8, 6)),
        ("1000000000", (10**9,)),
    ],
)
def test_lists_and_ranges(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected


@settings(max_examples=40)
@given(st.lists(counts, min_size=1, max_size=20))
def test_a_list_is_read_as_it_was_written(values: list[int]) -> None:
    assert numbers(",".join(map(str, values))) == tuple(dict.fromkeys(values))


@settings(max_examples=40)
@given(counts, st.integers(0, 200), st.integers(1, 1000))
def test_a_range_by_adding_is_pythons(first: int, steps: int, step: int) -> None:
    last = first + steps * step
    assert numbers(f"{first}..{last}+{step}") == tuple(range(first, last + 1, step))


@settings(max_examples=40)
@given(counts, st.integers(2, 100), st.integers(0, 10**7))
def test_a_range_by_multiplying_ends_at_its_last(first: int, factor: int, more: int) -> None:
    found = numbers(f"{first}..{first + more}*{factor}")
    assert found[0] == first
    assert all(later == factor * earlier for earlier, later in pairwise(found))
    assert found[-1] <= first + more < factor * found[-1]


@settings(max_examples=40)
@given(st.text(max_size=30) | st.text("0123456789.,*+", max_size=12))
def test_any_text_is_a_list_or_one_sentence(text: str) -> None:
    found: tuple[int, ...] = (1,)
    told = "."
    try:
        found = numbers(text)
    except UserError as error:
        told = str(error)
    assert told.isprintable()
    assert told.endswith(".")
    assert 1 <= len(set(found)) == len(found) <= 256
    assert min(found) >= 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The list is empty; write whole numbers such as 1,4,16 or 128..8192*2."),
        (" ", "The list is empty"),
        ("0", "0 is too small; write whole numbers from 1."),
        ("1,,2", "'1,,2' has a comma with nothing beside it; leave the comma out."),
        ("1,", "has a comma with nothing beside it"),
        ("8..1", "'8..1' runs backwards; write 1..8."),
        ("8..1*2", "'8..1*2' runs backwards; write 1..8*2."),
        ("1..9*1", "'1..9*1' never grows; write 1..9*2 or 1..9+1."),
        ("1..9+0", "'1..9+0' never grows; write 1..9*2 or 1..9+1."),
        ("1..9*0", "'1..9*0' never grows"),
        ("1..1000000", "has more than 256 numbers; write a range that grows faster, such as"),
        (",".join(map(str, range(1, 300))), "…' has more than 256 numbers; write fewer"),
        ("1..200,300..500", "has more than 256 numbers; write fewer"),
        ("99999999999999999999", "is too large; write numbers up to 1000000000."),
        ("9" * 5000, "is too large"),
        (
            "\u0661\u0662",
            "'\u0661\u0662' is neither a whole number nor a range of them; write as in",
        ),
        ("²", "is neither"),
        ("-1", "'-1' is neither"),
        ("+1", "is neither"),
        ("1_000", "is neither"),
        ("1e3", "is neither"),
        ("4.5", "is neither"),
        ("many", "'many' is neither"),
        ("1-8", "'1-8' is neither a whole number nor a range of them; write as in"),
        ("1..", "'1..' is neither"),
        ("..8", "is neither"),
        ("1..2..3", "is neither"),
        ("1..8*2+1", "is neither"),
        ("1..8*", "is neither"),
        ("\x1b[2J", r"'\x1b[2J' is neither"),
    ],
)
def test_what_is_no_list_is_told_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        numbers(text)
    assert sentence in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_from_zero_where_nothing_is_a_value() -> None:
    assert numbers("0,64", least=0) == (0, 64)
    assert numbers("0..128+64", least=0) == (0, 64, 128)
    with pytest.raises(UserError, match=r"never grows; write 1\.\.8\*2 or 0\.\.8\+1"):
        numbers("0..8*2", least=0)
