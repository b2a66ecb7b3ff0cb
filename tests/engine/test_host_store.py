"""The store beside the card: what it says it has comes back as it was, within its memory."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from localfp4.engine.disk_store import DiskStore
from localfp4.engine.host_store import HostStore, Key
from localfp4.runner.transfer import STATES
from tests.engine.fake_card import BLOCK, Blocks, Card

PLACES = 3
SIZES = {0: 1, 1: 2, STATES: 3}
DIGESTS = [bytes([number]) * 16 for number in range(12)]


def content_of(key: Key) -> bytes:
    """What the tokens up to a place leave behind, which is the same whoever computes it."""
    kind, digest = key
    return bytes([kind + 2, digest[0]]) * (SIZES[kind] * BLOCK // 2)


def keep(store: HostStore, key: Key, place: int) -> None:
    if key[0] == STATES:
        store.keep_state(key[1], place)
    else:
        store.keep(key[0], place, key[1])


def has(store: HostStore, key: Key) -> bool:
    return store.has_state(key[1]) if key[0] == STATES else store.has(*key)


def bring(store: HostStore, key: Key, place: int) -> None:
    if key[0] == STATES:
        store.bring_state(key[1], place)
    else:
        store.bring(key[0], place, key[1])


def persist(store: HostStore, key: Key, place: int) -> bool:
    if key[0] == STATES:
        return store.persist_state(key[1], place)
    return store.persist(key[0], place, key[1])


keys = st.tuples(st.sampled_from(sorted(SIZES)), st.sampled_from(DIGESTS[:5]))
places = st.integers(0, PLACES - 1)


class Pool(RuleBasedStateMachine):
    """A cache that computes, gives away and asks, as an engine's does."""

    disk: DiskStore | None = None

    @initialize(capacity=st.integers(1, 9))
    def start(self, capacity: int) -> None:
        self.memory = Blocks(capacity)
        self.card = Card(self.memory, SIZES, PLACES)
        self.store = HostStore(self.memory, SIZES, self.disk)
        self.holds: dict[tuple[int, int], Key | None] = dict.fromkeys(self.card.content)

    def give_away(self, kind: int, place: int) -> None:
        key = self.holds[kind, place]
        if key is not None:
            keep(self.store, key, place)

    @rule(key=keys, place=places)
    def compute(self, key: Key, place: int) -> None:
        """A step writes an entry into a place that another gave up for it."""
        self.give_away(key[0], place)
        self.step()
        self.card.content[key[0], place] = content_of(key)
        self.holds[key[0], place] = key

    @rule(wanted=st.lists(st.tuples(keys, places), min_size=1, max_size=4))
    def reuse(self, wanted: list[tuple[Key, int]]) -> None:
        """A prompt matches some entries; places are given away for them only then."""
        found = [(key, place) for key, place in wanted if has(self.store, key)]
        for key, place in found:
            self.give_away(key[0], place)
            bring(self.store, key, place)
            self.holds[key[0], place] = key

    @rule(some=st.lists(st.tuples(st.sampled_from(sorted(SIZES)), places), min_size=1, max_size=6))
    def give_up(self, some: list[tuple[int, int]]) -> None:
        """A step is planned that needs room, and does not run yet."""
        for kind, place in some:
            self.give_away(kind, place)
            self.holds[kind, place] = None

    @rule(kind=st.sampled_from(sorted(SIZES)), place=places)
    def drop(self, kind: int, place: int) -> None:
        """A place becomes free; what may still be on the way to it is of no use."""
        self.holds[kind, place] = None

    @rule()
    def step(self) -> None:
        self.card.move(self.store.take_transfers())
        for (kind, place), key in self.holds.items():
            if key is not None:
                assert self.card.content[kind, place] == content_of(key)

    @rule()
    def nobody_knows(self) -> None:
        self.store.forget()
        assert self.store.take_transfers() == ()
        self.holds = dict.fromkeys(self.holds)

    @invariant()
    def books_agree(self) -> None:
        self.store.check()
        assert len(self.memory.data) <= self.memory.capacity


class PoolWithDisk(Pool):
    """The same with files, which other engines of the same model write too."""

    @rule(kind=st.sampled_from(sorted(SIZES)), place=places)
    def persist(self, kind: int, place: int) -> None:
        key = self.holds[kind, place]
        if key is not None and not persist(self.store, key, place):
            self.step()
            self.store.save_one()

    @rule()
    def save(self) -> None:
        self.store.save_one()


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_pool_with_disk(tmp_path: Path) -> None:
    class Machine(PoolWithDisk):
        disk = DiskStore(tmp_path, b"f" * 16, max_bytes=600)

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.kv")) <= 600


@pytest.fixture
def store() -> HostStore:
    return HostStore(Blocks(4), SIZES)


def fill(store: HostStore, count: int) -> None:
    for number in range(count):
        store.keep(0, number, DIGESTS[number])
    store.take_transfers()


def known(store: HostStore) -> list[int]:
    found = [number for number, digest in enumerate(DIGESTS) if store.has(0, digest)]
    store.take_transfers()
    return found


def test_the_least_recently_used_goes_first(store: HostStore) -> None:
    fill(store, 4)
    store.keep(0, 0, DIGESTS[0])  # is there, so that it is only used
    assert store.take_transfers() == ()
    store.keep(0, 0, DIGESTS[4])
    assert known(store) == [0, 2, 3, 4]


def test_an_entry_that_was_asked_for_stays_until_its_copy_is_due(store: HostStore) -> None:
    fill(store, 4)
    assert store.has(0, DIGESTS[0])
    for number in range(4, 9):
        store.keep(0, number, DIGESTS[number])
    store.bring(0, 3, DIGESTS[0])
    *out, back = store.take_transfers()
    assert (back.index, back.to_card) == (3, True)
    assert not {block for one in out for block in one.blocks} & set(back.blocks)
    for number in range(4, 9):
        store.keep(0, number, DIGESTS[number])
    assert 0 not in known(store)


def test_of_a_conversation_the_end_goes_first(store: HostStore) -> None:
    fill(store, 4)
    for number in (1, 2, 3):
        assert store.has(0, DIGESTS[number])
    store.take_transfers()
    for number in (4, 5, 6):
        store.keep(0, number, DIGESTS[number])
    assert known(store) == [1, 4, 5, 6]


def test_a_state_takes_the_room_of_pages(store: HostStore) -> None:
    fill(store, 4)
    store.keep_state(DIGESTS[9], 0)
    assert store.has_state(DIGESTS[9])
    assert not store.has_state(DIGESTS[0])
    assert known(store) == [3]


def test_a_page_in_the_place_of_another_that_never_ran(store: HostStore) -> None:
    fill(store, 2)
    for number in range(2):
        assert store.has(0, DIGESTS[number])
        store.bring(0, 7, DIGESTS[number])
    [transfer] = store.take_transfers()
    assert transfer.index == 7
    assert transfer.blocks == store._entries[0, DIGESTS[1]]


def test_what_is_evicted_before_its_copy_ran_is_not_copied(store: HostStore) -> None:
    for number in range(6):
        store.keep(0, number, DIGESTS[number])
    assert sorted(one.index for one in store.take_transfers()) == [2, 3, 4, 5]


def test_only_what_was_copied_is_written_and_all_that_persists_is(tmp_path: Path) -> None:
    memory = Blocks(2)
    store = HostStore(memory, SIZES, DiskStore(tmp_path, b"f" * 16))
    card = Card(memory, SIZES, PLACES)
    for number in range(3):
        card.content[0, number] = content_of((0, DIGESTS[number]))
    assert [store.persist(0, number, DIGESTS[number]) for number in range(3)] == [True, True, False]
    assert not store.save_one()
    card.move(store.take_transfers())
    assert store.save_one()
    assert store.persist(0, 2, DIGESTS[2])
    card.move(store.take_transfers())
    assert store.save_one()
    assert store.save_one()
    assert not store.save_one()

    memory = Blocks(2)
    store = HostStore(memory, SIZES, DiskStore(tmp_path, b"f" * 16))
    card = Card(memory, SIZES, PLACES)
    for number in range(3):
        assert store.has(0, DIGESTS[number])
        store.bring(0, 2 - number, DIGESTS[number])
        card.move(store.take_transfers())
        assert card.content[0, 2 - number] == content_of((0, DIGESTS[number]))
    assert store.persist(0, 0, DIGESTS[2])
    assert not store.save_one()


def test_what_was_not_found_cannot_be_brought(store: HostStore) -> None:
    with pytest.raises(KeyError):
        store.bring(0, 0, DIGESTS[0])


def test_without_memory_nothing_is_kept() -> None:
    store = HostStore(Blocks(0), SIZES)
    store.keep(0, 0, DIGESTS[0])
    assert not store.has(0, DIGESTS[0])
    assert store.take_transfers() == ()
    assert not store.save_one()
