"""Which slot of the recurrent layers' memory belongs to whom; knows neither tensors nor requests.

A running sequence has a slot, which its state is changed in. What is left holds snapshots: copies
of states at the end of a page, from which another sequence with the same beginning can go on. The
least recently used one makes room when a slot is needed.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence

from localfp4.engine.host_store import HostStore


class StateSlots:
    """The bookkeeping of ``count`` slots."""

    def __init__(self, count: int, store: HostStore | None = None) -> None:
        """Make a table of free slots.

        Args:
            count: How many.
            store: Keeps the snapshots that make room.
        """
        self.count = count
        self._store = store
        self._free = list(range(count))
        self._snapshots: OrderedDict[bytes, int] = OrderedDict()

    @property
    def digests(self) -> Collection[bytes]:
        """Of everything up to the pages at whose ends there are snapshots."""
        return self._snapshots.keys()

    def take(self) -> int | None:
        """Hand out a slot, for which a snapshot may have to go; ``None`` where all are taken."""
        if not self._free and self._snapshots:
            self.evict(next(iter(self._snapshots)))
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Take a slot back from a sequence.

        Raises:
            ValueError: Nobody has it.
        """
        if slot in self._free or slot in self._snapshots.values():
            raise ValueError(f"slot {slot} is given back twice")
        self._free.append(slot)

    def keep(self, digest: bytes, slot: int) -> bool:
        """Make a slot that was taken the snapshot of the state after what ``digest`` stands for.

        Returns:
            Whether it was needed: if there is one already, the slot goes back.
        """
        if digest in self._snapshots:
            self._snapshots.move_to_end(digest)
            self.give_back(slot)
            return False
        self._snapshots[digest] = slot
        return True

    def use(self, digest: bytes) -> int:
        """Return the slot of a snapshot, which counts as used now.

        Raises:
            KeyError: There is none.
        """
        self._snapshots.move_to_end(digest)
        return self._snapshots[digest]

    def bring(self, digest: bytes) -> int | None:
        """Hand out a slot that main memory fills with a state; ``None`` where all are taken.

        Raises:
            ValueError: There is no main memory.
        """
        slot = self.take()
        if self._store is None:
            raise ValueError("there is nowhere to bring a state from")
        if slot is not None:
            self._store.bring_state(digest, slot)
        return slot

    def drop(self, digest: bytes) -> None:
        """Forget a snapshot, if there is one."""
        slot = self._snapshots.pop(digest, None)
        if slot is not None:
            self._free.append(slot)

    def evict(self, digest: bytes) -> None:
        """Give the slot of a snapshot away, if there is one; main memory may keep the state."""
        if self._store is not None and digest in self._snapshots:
            self._store.keep_state(digest, self._snapshots[digest])
        self.drop(digest)

    def forget(self) -> None:
        """Drop all snapshots."""
        self._free += self._snapshots.values()
        self._snapshots.clear()

    def check(self, held: Sequence[int]) -> None:
        """Compare the books with the slots that sequences hold.

        Raises:
            AssertionError: They disagree.
        """
        everyone = sorted([*self._free, *self._snapshots.values(), *held])
        assert everyone == list(range(self.count)), "a slot is lost or belongs to two"
