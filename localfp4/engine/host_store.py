"""What the card's cache gave away and main memory still has; bookkeeping only, torch-free.

An entry is a page of a KV group, or a state of recurrent layers, under the hash of all tokens up to
its end. Main memory is divided into blocks of one size, of which an entry takes as many as it
needs, so that pages of all groups and states share one budget and nothing is lost to gaps. When
blocks run out, the least recently used entries go.

Between two calls of :meth:`HostStore.take_transfers` nothing is copied yet. Until then, entries that
the cache asked for stay, and a page is named as the source of at most one copy and the target of at
most one: all copies from the card may therefore run before all copies to it.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from localfp4.engine.disk_store import DiskStore
from localfp4.runner.transfer import STATES, Transfer

Key = tuple[int, bytes]
"""The group of a page, or ``STATES``, and the hash of all tokens up to its end."""


class Memory(Protocol):
    """Blocks in main memory."""

    def grow(self) -> int:
        """Allocate some more blocks and return how many; 0 where there are no more."""

    def buffers(self, blocks: Sequence[int]) -> list[memoryview]:
        """Return the bytes of blocks, once no queued copy touches them."""


class HostStore:
    """Entries in main memory, and in files where there is a folder for them."""

    def __init__(
        self, memory: Memory, sizes: Mapping[int, int], disk: DiskStore | None = None
    ) -> None:
        """Make an empty store.

        Args:
            memory: Where entries go; only as much of it is allocated as they need.
            sizes: Blocks of a page of each group, and under ``STATES`` of a state.
            disk: Entries of earlier runs, and the place for those of this one.
        """
        self._memory = memory
        self._sizes = sizes
        self._disk = disk
        self._entries: OrderedDict[Key, tuple[int, ...]] = OrderedDict()
        self._free: list[int] = []
        self._blocks = 0
        self._pinned: dict[Key, None] = {}
        self._leaving: dict[Key, Transfer] = {}
        self._coming: dict[tuple[int, int], Transfer] = {}
        self._unsaved: OrderedDict[Key, None] = OrderedDict()
        self._loaded: list[Key] = []

    def keep(self, group: int, page: int, digest: bytes) -> None:
        """Keep a page that the card's cache gives away; its next owner writes it after the copy."""
        self._keep((group, digest), page)

    def has(self, group: int, digest: bytes) -> bool:
        """Say whether a page is here; if so, it stays until the next :meth:`take_transfers`."""
        return self._has((group, digest))

    def bring(self, group: int, page: int, digest: bytes) -> None:
        """Fill a page of the card's cache with one that :meth:`has` has found.

        Raises:
            KeyError: It is not here.
        """
        self._bring((group, digest), page)

    def keep_state(self, digest: bytes, slot: int) -> None:
        """Keep the state of a slot that is given away, as :meth:`keep` does a page."""
        self._keep((STATES, digest), slot)

    def has_state(self, digest: bytes) -> bool:
        """Say whether a state is here, as :meth:`has` does of a page."""
        return self._has((STATES, digest))

    def bring_state(self, digest: bytes, slot: int) -> None:
        """Fill a slot with a state, as :meth:`bring` does a page.

        Raises:
            KeyError: It is not here.
        """
        self._bring((STATES, digest), slot)

    def persist(self, group: int, page: int, digest: bytes) -> bool:
        """Have a page that stays on the card written to disk too, where there is a folder.

        Returns:
            Whether that is settled; ``False`` where memory has no room before others are saved.
        """
        return self._persist((group, digest), page)

    def persist_state(self, digest: bytes, slot: int) -> bool:
        """Have a state that stays on the card written to disk, as :meth:`persist` does a page."""
        return self._persist((STATES, digest), slot)

    def take_transfers(self) -> tuple[Transfer, ...]:
        """Hand over the copies that are due, which must be queued before the next step."""
        due = (*self._leaving.values(), *self._coming.values())
        # A beginning is worth more than what follows it, and is asked for first.
        for key in reversed(self._pinned):
            self._entries.move_to_end(key)
        while self._disk is not None and self._loaded:
            self._disk.touch(self._loaded.pop())
        self._leaving.clear()
        self._coming.clear()
        self._pinned.clear()
        return due

    @property
    def has_disk(self) -> bool:
        """Whether there is a folder for files."""
        return self._disk is not None

    def save_one(self) -> bool:
        """Write an entry to disk, which takes milliseconds.

        Returns:
            Whether there was one that has been copied from the card.
        """
        if self._disk is None:
            return False
        key = next((key for key in self._unsaved if key not in self._leaving), None)
        if key is None:
            return False
        del self._unsaved[key]
        self._disk.write(key, self._memory.buffers(self._entries[key]))
        return True

    def forget(self) -> None:
        """Drop everything in memory, where nobody knows which copies were made."""
        self._free += [block for blocks in self._entries.values() for block in blocks]
        self._entries.clear()
        self._pinned.clear()
        self._leaving.clear()
        self._coming.clear()
        self._unsaved.clear()

    def check(self) -> None:
        """Compare the books with each other.

        Raises:
            AssertionError: They disagree.
        """
        used = [block for blocks in self._entries.values() for block in blocks]
        assert sorted([*self._free, *used]) == list(range(self._blocks)), "blocks are lost"
        assert all(len(self._entries[key]) == self._sizes[key[0]] for key in self._entries)
        assert set(self._pinned) | set(self._leaving) | set(self._unsaved) <= set(self._entries)

    def _keep(self, key: Key, index: int, spared: Collection[Key] = ()) -> bool:
        """Make an entry of what the card has at ``index``, and say whether there is one now.

        No entry of ``spared`` goes for it.
        """
        if key in self._entries:
            self._entries.move_to_end(key)
            return True
        blocks = self._take(self._sizes[key[0]], spared)
        if blocks is None:
            return False
        self._entries[key] = blocks
        self._leaving[key] = Transfer(key[0], index, blocks, to_card=False)
        if self._disk is not None and not self._disk.has(key):
            self._unsaved[key] = None
        return True

    def _has(self, key: Key) -> bool:
        if key not in self._entries and not self._load(key):
            return False
        self._pinned[key] = None
        return True

    def _bring(self, key: Key, index: int) -> None:
        blocks = self._entries[key]
        self._pinned[key] = None
        # A page that was filled for a sequence which is gone again before it ran has a new owner.
        self._coming[key[0], index] = Transfer(key[0], index, blocks, to_card=True)

    def _persist(self, key: Key, index: int) -> bool:
        if self._disk is None or self._disk.has(key):
            return True
        return self._keep(key, index, spared=self._unsaved)

    def _load(self, key: Key) -> bool:
        """Read an entry from disk, and say whether it was there."""
        if self._disk is None or not self._disk.has(key):
            return False
        blocks = self._take(self._sizes[key[0]])
        if blocks is None:
            return False
        if not self._disk.read(key, self._memory.buffers(blocks)):
            self._free += blocks
            return False
        self._entries[key] = blocks
        self._loaded.append(key)
        return True

    def _take(self, count: int, spared: Collection[Key] = ()) -> tuple[int, ...] | None:
        """Take blocks, for which old entries may have to go; ``None`` where too few can."""
        while len(self._free) < count and (grown := self._memory.grow()):
            self._free += range(self._blocks, self._blocks + grown)
            self._blocks += grown
        while len(self._free) < count:
            oldest = self._oldest(spared)
            if oldest is None:
                return None
            self._evict(oldest)
        return tuple(self._free.pop() for _ in range(count))

    def _oldest(self, spared: Collection[Key]) -> Key | None:
        """Return the least recently used entry that nobody waits for."""
        unwanted = (key for key in self._entries if key not in self._pinned and key not in spared)
        return next(unwanted, None)

    def _evict(self, key: Key) -> None:
        self._free += self._entries.pop(key)
        self._leaving.pop(key, None)
        self._unsaved.pop(key, None)
