"""Writing what is known of conversations to disk, a little at a time."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Self

from localfp4.engine.host_store import HostStore
from localfp4.engine.pools import PagePools
from localfp4.engine.state_slots import StateSlots
from localfp4.runner.runner import Runner
from localfp4.runner.transfer import STATES

Entry = tuple[int, int, bytes]
"""The group of a page or ``STATES``, the page or slot, and the digest it is known by."""

FINISH_S = 2.0
"""An engine that is closed writes no longer, since its process is ended soon after it is asked to;
what is missing is computed again one day."""

_logger = logging.getLogger(__name__)


class Saving:
    """Writes what an idle engine has in its cache and in main memory."""

    def __init__(
        self, store: HostStore, runner: Runner, pools: PagePools, states: StateSlots | None
    ) -> None:
        """Take the parts of an engine, whose store has a folder for files."""
        self._store = store
        self._runner = runner
        self._pools = pools
        self._states = states
        self._writes: Iterator[None] | None = None

    @classmethod
    def of(
        cls,
        store: HostStore | None,
        runner: Runner,
        pools: PagePools,
        states: StateSlots | None,
    ) -> Self | None:
        """Return what saves for an engine, if its store has a folder for files."""
        if store is None or not store.has_disk:
            return None
        return cls(store, runner, pools, states)

    def interrupt(self) -> None:
        """Note that a step changes what there is: the next :meth:`advance` begins anew."""
        self._writes = None

    def advance(self) -> bool:
        """Write one entry, which takes milliseconds, and say whether there was one."""
        if self._writes is None:
            entries = known_entries(self._pools, self._states)
            self._writes = write_down(self._store, self._runner, entries)
        return next(self._writes, self) is None

    def finish(self) -> None:
        """Write the rest, for as long as somebody who closes a program will wait."""
        end_s = time.monotonic() + FINISH_S
        try:
            while self.advance() and time.monotonic() < end_s:
                pass
        except Exception:
            # Why an engine ends must not be hidden by a device that is broken.
            _logger.exception("KV pages could not be written")


def write_down(store: HostStore, runner: Runner, entries: Iterable[Entry]) -> Iterator[None]:
    """Write everything in the cache and in main memory that is not on disk, yielding in between.

    Between two values nothing may run that changes the cache.

    Args:
        store: What has a folder for files.
        runner: Moves what is still in the cache.
        entries: What the cache holds, the least valuable first.
    """
    for kind, index, digest in entries:
        while not _persist(store, kind, index, digest):
            runner.move(store.take_transfers())
            if not store.save_one():
                break
            yield
    runner.move(store.take_transfers())
    while store.save_one():
        yield


def known_entries(pools: PagePools, states: StateSlots | None) -> Iterator[Entry]:
    """Yield what the cache holds for other prompts to go on from, ends before beginnings."""
    for group, table in enumerate(pools.tables):
        for digest in reversed(list(table.digests())):
            page = table.find(digest)
            if page is not None:
                yield group, page, digest
    if states is not None:
        for digest in list(states.digests):
            yield STATES, states.use(digest), digest


def _persist(store: HostStore, kind: int, index: int, digest: bytes) -> bool:
    if kind == STATES:
        return store.persist_state(digest, index)
    return store.persist(kind, index, digest)
