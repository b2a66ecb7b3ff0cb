"""The arithmetic of rows that need not exist: what is seen never moves, and all of it is there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_tui.rows import FAR_SCREENS, NEAR_SCREENS, Rows

heights = st.lists(st.integers(0, 60), min_size=1, max_size=40)


def rows_of(heights: list[int]) -> Rows[int]:
    rows: Rows[int] = Rows()
    for index, height in enumerate(heights):
        rows.insert(index, index, height)
    return rows


@settings(deadline=None)
@given(
    heights,
    st.lists(st.dictionaries(st.integers(0, 39), st.integers(0, 60)), max_size=6),
    st.floats(0, 1),
)
def test_what_is_seen_stays_where_it_is_when_heights_change(
    before: list[int], changes: list[dict[int, int]], share: float
) -> None:
    rows = rows_of(before)
    seen = int(share * rows.bottom)
    for change in changes:
        held = rows.at(seen)
        top = rows.tops[held]
        rows.measure({i: height for i, height in change.items() if i < len(before)}, seen)
        assert rows.tops[held] == top
        assert rows.bottom == rows.origin + sum(rows.heights)
    held, top = rows.at(seen), rows.tops[rows.at(seen)]
    moved = rows.settle()
    assert rows.tops[0] == 0
    assert rows.tops[held] == top + moved


@settings(deadline=None)
@given(heights, st.integers(0, 2000), st.integers(1, 60))
def test_everything_in_view_exists_and_little_else(
    given_heights: list[int], seen: int, screen: int
) -> None:
    rows = rows_of(given_heights)
    near, not_far = rows.near(seen, screen), rows.not_far(seen, screen)
    for index, (top, height) in enumerate(zip(rows.tops, rows.heights, strict=True)):
        if height and top < seen + screen and top + height > seen:
            assert index in near
        if index in near:
            assert index in not_far
        far = FAR_SCREENS * screen
        if top > seen + screen + far:
            assert index not in not_far
    assert NEAR_SCREENS < FAR_SCREENS


def test_rows_come_and_go() -> None:
    rows = rows_of([3, 4, 5])
    rows.insert(1, 9, 2)
    assert (rows.items, rows.tops, rows.bottom) == ([0, 9, 1, 2], [0, 3, 5, 9], 14)
    rows.keep(lambda item: item != 1)
    assert (rows.items, rows.heights) == ([0, 9, 2], [3, 2, 5])
    rows.keep(lambda item: False)
    rows.measure({}, 7)
    assert (rows.at(5), rows.bottom, rows.origin) == (0, 0, 0)
