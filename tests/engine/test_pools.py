"""The page pools against a model of them that keeps whole token prefixes instead of digests."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from localfp4.config import PAGE_SIZE
from localfp4.engine.blocks import RELEASED
from localfp4.engine.pools import PagePools
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from tests.engine.scheduler_bench import sequence

WINDOWS = (None, 1, 100)


def page_of(mark: int) -> list[int]:
    return [mark] * PAGE_SIZE


def started(pools: PagePools, tokens: list[int], matched: int | None = None) -> Sequence:
    """Return a sequence that has taken over what matches its beginning."""
    one = sequence("", tokens, 1000)
    pools.take_over(one, pools.match(one) if matched is None else matched)
    return one


def compute(pools: PagePools, one: Sequence, end: int | None = None) -> Sequence:
    end = len(one.tokens) if end is None else end
    assert pools.reserve(one, end)
    one.computed = end
    pools.advance(one)
    return one


def cold(pools: PagePools, tokens: list[int]) -> Sequence:
    """Compute all of ``tokens``, whatever is there already."""
    return compute(pools, started(pools, tokens, matched=0))


def matching(pools: PagePools, tokens: list[int]) -> int:
    return pools.match(sequence("", tokens, 1))


class PoolsMachine(RuleBasedStateMachine):
    """Sequences that start from shared prompts, grow, and are released."""

    sequences = Bundle("sequences")

    @initialize(groups=st.integers(1, 3))
    def begin(self, groups: int) -> None:
        self.windows = WINDOWS[:groups]
        self.pools = PagePools([7, 4, 6][:groups], self.windows)
        self.live: list[Sequence] = []
        self.content: dict[tuple[int, int], tuple[int, ...]] = {}
        """Per page, everything the cache holds up to its end, had it been really computed."""

    @rule(
        target=sequences,
        marks=st.lists(st.integers(0, 1), max_size=4),
        extra=st.sampled_from((0, 1, PAGE_SIZE - 1)),
    )
    def start(self, marks: list[int], extra: int) -> object:
        tokens = [mark for mark in marks for _ in range(PAGE_SIZE)] + [2] * extra
        return self._start(tokens) if tokens else multiple()

    @rule(target=sequences, parent=sequences, mark=st.integers(0, 2))
    def fork(self, parent: Sequence, mark: int) -> object:
        return self._start([*parent.tokens[: parent.computed], mark])

    def _start(self, tokens: list[int]) -> Sequence:
        one = started(self.pools, tokens)
        assert one.computed < len(tokens), "no token is left to compute"
        for group, window in enumerate(self.windows):
            first = 0 if window is None else max(one.computed - window + 1, 0)
            for place in range(first // PAGE_SIZE, one.computed // PAGE_SIZE):
                page = one.pages[group][place]
                assert self.content[group, page] == tuple(tokens[: (place + 1) * PAGE_SIZE])
        self.live.append(one)
        return one

    @rule(one=sequences, count=st.integers(1, 2 * PAGE_SIZE))
    def compute(self, one: Sequence, count: int) -> None:
        end = min(len(one.tokens), one.computed + count)
        owned = self._owned()
        before = [len(pages) for pages in one.pages]
        if not self.pools.reserve(one, end):
            assert [len(pages) for pages in one.pages] == before
            needed = -(-end // PAGE_SIZE) - before[0]
            assert any(needed > table.available for table in self.pools.tables)
            return
        for group, pages in enumerate(one.pages):
            fresh = {(group, page) for page in pages[before[group] :]}
            assert not fresh & owned, "a page was handed out twice"
        for place in range(one.computed // PAGE_SIZE, end // PAGE_SIZE):
            for group, pages in enumerate(one.pages):
                self.content[group, pages[place]] = tuple(one.tokens[: (place + 1) * PAGE_SIZE])
        one.computed = end
        self.pools.advance(one)

    @rule(one=sequences, mark=st.integers(0, 2))
    def append(self, one: Sequence, mark: int) -> None:
        if one.computed == len(one.tokens):
            one.tokens.append(mark)

    @rule(one=consumes(sequences))
    def release(self, one: Sequence) -> None:
        self.live.remove(one)
        self.pools.release(one)

    @invariant()
    def books_are_right(self) -> None:
        self.pools.check(self.live)
        for group, table in enumerate(self.pools.tables):
            owned = {page for owner, page in self._owned() if owner == group}
            assert table.in_use == len(owned)

    @invariant()
    def what_windows_see_is_there(self) -> None:
        for one in self.live:
            for pages, window in zip(one.pages, self.windows, strict=True):
                first = 0 if window is None else max(one.computed - window + 1, 0)
                assert RELEASED not in pages[first // PAGE_SIZE :]

    def _owned(self) -> set[tuple[int, int]]:
        return {
            (group, page)
            for one in self.live
            for group, pages in enumerate(one.pages)
            for page in pages
            if page != RELEASED
        }

    def teardown(self) -> None:
        for one in self.live:
            self.pools.release(one)
        self.pools.check([])
        assert all(table.in_use == 0 for table in self.pools.tables)


TestPoolsMachine = PoolsMachine.TestCase
TestPoolsMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(
    ("length", "matched"),
    [
        (1, 0),
        (PAGE_SIZE - 1, 0),
        (PAGE_SIZE, 0),
        (PAGE_SIZE + 1, 1),
        (2 * PAGE_SIZE - 1, 1),
        (2 * PAGE_SIZE, 1),
        (2 * PAGE_SIZE + 1, 2),
    ],
)
def test_a_match_leaves_one_token_at_least(length: int, matched: int) -> None:
    pools = PagePools([8])
    tokens = list(range(3 * PAGE_SIZE))
    first = cold(pools, tokens)
    again = started(pools, tokens[:length])
    assert again.pages == [first.pages[0][:matched]]
    assert again.computed == matched * PAGE_SIZE


@pytest.mark.parametrize("length", [PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1])
def test_only_full_pages_are_published(length: int) -> None:
    pools = PagePools([4])
    tokens = list(range(length))
    cold(pools, tokens)
    assert matching(pools, [*tokens, 0, 0]) == length // PAGE_SIZE * PAGE_SIZE


def test_a_page_is_published_when_it_fills_up_in_small_steps() -> None:
    pools = PagePools([1])
    tokens = page_of(5)
    one = started(pools, tokens)
    for done in range(PAGE_SIZE):
        assert matching(pools, [*tokens, 0]) == 0
        compute(pools, one, done + 1)
    assert matching(pools, [*tokens, 0]) == PAGE_SIZE


def test_a_page_whose_newest_token_is_not_known_is_not_published() -> None:
    pools = PagePools([2])
    one = started(pools, page_of(5)[1:])
    compute(pools, one, PAGE_SIZE)
    assert matching(pools, [*page_of(5), 0]) == 0
    one.tokens.append(5)
    pools.advance(one)
    assert matching(pools, [*page_of(5), 0]) == PAGE_SIZE


def test_equal_pages_after_different_beginnings_do_not_match() -> None:
    pools = PagePools([8])
    cold(pools, page_of(1) + page_of(3))
    cold(pools, page_of(2) + page_of(4))
    assert matching(pools, [*page_of(1), *page_of(3), 0]) == 2 * PAGE_SIZE
    assert matching(pools, [*page_of(2), *page_of(3), 0]) == PAGE_SIZE
    assert matching(pools, [*page_of(3), 0]) == 0


def test_what_follows_twice_computed_pages_can_be_found() -> None:
    pools = PagePools([5])
    first = cold(pools, page_of(1))
    longer = cold(pools, page_of(1) + page_of(2))
    assert longer.pages[0][:1] == first.pages[0]
    assert matching(pools, [*page_of(1), *page_of(2), 0]) == 2 * PAGE_SIZE
    pools.check([first, longer])


def test_without_prefix_caching_nothing_matches() -> None:
    pools = PagePools([2, 3], (None, 1), prefix_caching=False)
    one = cold(pools, page_of(0) * 2)
    assert one.pages[1][0] == RELEASED, "windows give pages back all the same"
    pools.release(one)
    assert matching(pools, [*page_of(0), 9]) == 0
    pools.check([])


def test_a_blocked_prompt_is_digested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = PagePools([8])
    cold(pools, page_of(1) * 2)
    one = sequence("", [*page_of(1), *page_of(1), *page_of(2), 0], 9)
    assert pools.match(one) == 2 * PAGE_SIZE
    monkeypatch.setattr("localfp4.engine.pools.page_digest", None)
    assert pools.match(one) == 2 * PAGE_SIZE


@pytest.mark.parametrize(
    ("window", "held"),
    [
        (1, [4]),
        (2, [3, 4]),
        (PAGE_SIZE, [3, 4]),
        (PAGE_SIZE + 1, [3, 4]),
        (PAGE_SIZE + 2, [2, 3, 4]),
    ],
)
def test_a_window_holds_what_the_next_token_sees_from_the_last_page_boundary(
    window: int, held: list[int]
) -> None:
    pools = PagePools([8, 8], (None, window))
    one = cold(pools, list(range(4 * PAGE_SIZE + 10)))
    assert [n for n, page in enumerate(one.pages[1]) if page != RELEASED] == held
    assert RELEASED not in one.pages[0]
    assert pools.tables[1].in_use == len(held)
    pools.check([one])


def test_a_window_needs_only_its_last_pages_to_match() -> None:
    pools = PagePools([8, 3], (None, PAGE_SIZE))
    tokens = [*page_of(1), *page_of(2), *page_of(3), *page_of(4), 0]
    one = started(pools, tokens)
    for end in range(PAGE_SIZE, 4 * PAGE_SIZE + 1, PAGE_SIZE):
        compute(pools, one, end)
    pools.release(one)
    again = started(pools, tokens)
    assert again.computed == 4 * PAGE_SIZE
    assert [page == RELEASED for page in again.pages[1]] == [True, True, True, False]
    # Of what the window passed, the page that was needed for the fourth had been given away.
    assert matching(pools, tokens[: 3 * PAGE_SIZE]) == PAGE_SIZE
    pools.check([again])


def with_snapshots(pools: PagePools, states: StateSlots, digests: list[bytes]) -> None:
    for digest in digests:
        slot = states.take()
        assert slot is not None
        assert states.keep(digest, slot)


def test_with_states_a_match_ends_at_the_deepest_snapshot() -> None:
    states = StateSlots(2)
    pools = PagePools([4], states=states)
    tokens = page_of(1) + page_of(2) + page_of(3)
    one = cold(pools, tokens)
    assert matching(pools, [*tokens, 0]) == 0
    with_snapshots(pools, states, one.digests[:2])
    for length, matched in ((3, 2), (2, 2), (1, 1)):
        assert matching(pools, [*tokens[: length * PAGE_SIZE], 0]) == matched * PAGE_SIZE


def test_a_snapshot_goes_with_its_page() -> None:
    states = StateSlots(2)
    pools = PagePools([2], states=states)
    one = cold(pools, page_of(1) + page_of(2))
    with_snapshots(pools, states, one.digests)
    pools.release(one)
    compute(pools, started(pools, [9]))
    assert list(states.digests) == one.digests[:1]
    states.check([])


def test_check_notices_a_snapshot_of_an_unknown_page() -> None:
    states = StateSlots(1)
    pools = PagePools([2], states=states)
    states.keep(b"unknown", states.take() or 0)
    with pytest.raises(AssertionError, match="cannot be found again"):
        pools.check([])
