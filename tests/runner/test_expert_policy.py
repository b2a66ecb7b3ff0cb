"""Which experts get a place on the card, for traces of choices."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.runner.expert_policy import MOST_COPIES, HotExperts, SlotTable

EXPERTS, SLOTS, CHOSEN = 64, 16, 4


def trace(exponent: float, steps: int, order: list[int], seed: int = 0) -> Iterator[set[int]]:
    """Yield different experts for each step; the n-th of an order has weight ``n ** -exponent``."""
    draws = random.Random(seed)
    weights = [(place + 1) ** -exponent for place in range(EXPERTS)]
    for _ in range(steps):
        chosen: set[int] = set()
        while len(chosen) < CHOSEN:
            chosen.add(order[draws.choices(range(EXPERTS), weights)[0]])
        yield chosen


class Cache:
    """One layer whose copies are done at once."""

    def __init__(self) -> None:
        self.table = SlotTable(EXPERTS, SLOTS)
        self.hot = HotExperts([self.table], [EXPERTS])
        self.counts = [0] * EXPERTS
        self.copies = 0

    def run(self, steps: Iterator[set[int]]) -> float:
        """Return the share of reads that found their expert on the card."""
        hits = reads = 0
        for step, chosen in enumerate(steps, 1):
            for expert in chosen:
                self.counts[expert] += 1
                hits += expert in self.table.held
                reads += 1
            if step % 16 == 0:
                self.update()
        return hits / reads

    def update(self) -> None:
        self.hot.observe([self.counts])
        for swap in self.hot.swaps():
            self.table.release(swap.slot)
            self.table.fill(swap.slot, swap.expert)
            self.copies += 1


def shuffled(seed: int) -> list[int]:
    order = list(range(EXPERTS))
    random.Random(seed).shuffle(order)
    return order


def best_share(exponent: float, order: list[int], steps: int) -> float:
    """The share that the best choice for the whole trace has, made with knowledge of all of it."""
    best = set(order[:SLOTS])
    hits = [expert in best for chosen in trace(exponent, steps, order) for expert in chosen]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_hits_come_near_the_best_choice(exponent: float) -> None:
    cache, order = Cache(), shuffled(1)
    cache.run(trace(exponent, 800, order))  # the first experts are on the card at first
    share = cache.run(trace(exponent, 2000, order))
    assert share > 0.93 * best_share(exponent, order, 2000)


def test_another_subject_brings_other_experts() -> None:
    cache, other = Cache(), shuffled(2)
    cache.run(trace(1.2, 2000, shuffled(1)))
    at_first = cache.run(trace(1.2, 32, other))
    cache.run(trace(1.2, 1000, other))
    share = cache.run(trace(1.2, 1000, other))
    assert share > 0.93 * best_share(1.2, other, 1000) > at_first + 0.2


def test_experts_that_are_all_the_same_mostly_stay() -> None:
    cache = Cache()
    share = cache.run(trace(0.0, 2000, shuffled(1)))
    missed = (1 - share) * 2000 * CHOSEN
    assert cache.copies < 0.1 * missed


def test_copies_keep_to_their_share_of_the_bus() -> None:
    tables = [SlotTable(128, 64) for _ in range(8)]
    hot = HotExperts(tables, [128] * 8)
    assert hot.swaps() == []
    counts = [[0] * 64 + [5] * 2 + [0] * 62 for _ in tables]
    hot.observe(counts)  # 80 reads from main memory
    swaps = hot.swaps()
    assert {(swap.layer, swap.expert) for swap in swaps} == {
        (i, e) for i in range(8) for e in (64, 65)
    }
    hot.observe([[0] * 64 + [6, 6] + [0] * 62 for _ in tables])  # 16 more: four copies' worth
    assert len(hot.swaps()) == 4
    hot.observe([[0] * 64 + [99] * 64 for _ in tables])
    assert len(hot.swaps()) == MOST_COPIES
    before = hot.swaps()
    hot.observe([[0] * 64 + [99] * 64 for _ in tables])  # nothing was read
    assert hot.swaps() == []
    assert before


def test_counts_may_wrap_around() -> None:
    table = SlotTable(4, 1)
    hot = HotExperts([table], [4])
    hot.observe([[0, 2**31 - 2, 0, 0]])
    hot.observe([[0, -(2**31) + 10, 0, 0]])  # twelve more, as int32
    (swap,) = hot.swaps()
    assert swap.expert == 1


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_slot_ever_serves_two_experts(data: st.DataObject) -> None:
    """Whatever is read, and however long copies take."""
    drawn = data.draw(
        st.lists(st.tuples(st.integers(2, 8), st.integers(1, 8)), min_size=1, max_size=3)
    )
    sizes = [(experts, min(slots, experts)) for experts, slots in drawn]
    tables = [SlotTable(*size) for size in sizes]
    hot = HotExperts(tables, [experts for experts, _ in sizes])
    counts = [[0] * experts for experts, _ in sizes]
    coming: list[tuple[int, int, int]] = []
    for _ in range(data.draw(st.integers(1, 8))):
        for layer in counts:
            for expert in range(len(layer)):
                layer[expert] += data.draw(st.sampled_from([0, 0, 3, 20]))
        hot.observe(counts)
        arrived = data.draw(st.booleans())
        if arrived:
            for layer_index, slot, expert in coming:
                tables[layer_index].fill(slot, expert)
            coming = []
        if not coming:
            coming = [(one.layer, one.slot, one.expert) for one in hot.swaps()]
            for layer_index, slot, _ in coming:
                tables[layer_index].release(slot)
        for index, table in enumerate(tables):
            where = table.where()
            used = [slot for slot in where if slot >= 0]
            assert len(set(used)) == len(used)
            assert all(table.held[slot] == expert for expert, slot in enumerate(where) if slot >= 0)
            assert not {slot for layer, slot, _ in coming if layer == index} & set(used)


def test_a_slot_in_use_is_not_given_away() -> None:
    table = SlotTable(4, 2)
    with pytest.raises(ValueError, match="slot 0 cannot take expert 3"):
        table.fill(0, 3)
    table.release(0)
    with pytest.raises(ValueError, match="slot 0 cannot take expert 1"):
        table.fill(0, 1)
