"""The KV pages of sequences: a pool for each KV group, and what is known of their content.

A beginning can be taken over where the group without a window has all its pages, every other group
those that the window of the next token reaches back to, and recurrent layers a snapshot of the
state at its end. What the card's memory gave away may come back from main memory.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Items

from localfp4.config import PAGE_SIZE
from localfp4.engine.blocks import RELEASED, Evicted, PageTable, page_digest, pages_for
from localfp4.engine.host_store import HostStore
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from localfp4.runner.work import Collect


class PagePools:
    """The pages of all KV groups."""

    def __init__(
        self,
        sizes: Items[int],
        windows: Items[int | None] = (None,),
        *,
        prefix_caching: bool = True,
        states: StateSlots | None = None,
        store: HostStore | None = None,
    ) -> None:
        """Make pools of free pages.

        Args:
            sizes: Pages of each group.
            windows: Tokens that each group sees, the query included; ``None`` is all, and what the
                first of them sees.
            prefix_caching: Whether full pages are kept for prompts with the same beginning.
            states: Slots and snapshots of recurrent layers; ``None`` for models without any.
            store: Keeps pages that are given away in main memory.
        """
        self.tables = tuple(PageTable(size) for size in sizes)
        self.prefix_caching = prefix_caching
        self._windows = tuple(windows)
        self._sliding = [
            (group, window) for group, window in enumerate(windows) if window is not None
        ]
        self._states = states
        self._store = store

    def match(self, sequence: Sequence) -> int:
        """Return how many tokens of a sequence need not be computed, without taking anything.

        Only full pages match, and at least the last token is left to compute, since its logits
        are needed; where something of more positions is kept, they are.
        """
        digests = self.matching(sequence)
        depth = 0
        for digest in digests:
            if not self._has(0, digest):
                break
            depth += 1
        while depth and (missing := self._missing(digests, depth)) is not None:
            depth = missing
        return depth * PAGE_SIZE

    def matching(self, sequence: Sequence) -> list[bytes]:
        """Return the digests of the pages that a sequence would take over if they were there."""
        if not self.prefix_caching:
            return []
        needed = len(sequence.tokens) - 1
        if sequence.collect is not Collect.NOTHING:
            needed = min(needed, sequence.collect_from)
        return self._digests(sequence, needed // PAGE_SIZE)

    def has_room(
        self, sequence: Sequence, matched: int, tokens: int, giving_way: Items[Sequence] = ()
    ) -> bool:
        """Say whether a sequence can start after what matched.

        Args:
            sequence: Without pages.
            matched: Tokens that need not be computed.
            tokens: How many its first step computes, those included. Without a window the whole
                sequence must find room, so that it need not give way before it is done.
            giving_way: Sequences whose pages, those that they share included, count as room.
        """
        for group, table in enumerate(self.tables):
            last = pages_for(len(sequence.tokens) if group == 0 else tokens)
            first, end = self._first(group, matched), matched // PAGE_SIZE
            pages = [table.find(digest) for digest in sequence.digests[first:end]]
            shared = sum(page is not None and table.is_owned(page) for page in pages)
            given = sum(len(one.pages[group]) for one in giving_way)
            if last - first - shared > table.available + given:
                return False
        return True

    def take_over(self, sequence: Sequence, matched: int) -> None:
        """Give a sequence the pages that hold what matched."""
        depth = matched // PAGE_SIZE
        sequence.pages = []
        for group, table in enumerate(self.tables):
            first = self._first(group, matched)
            digests = sequence.digests[first:depth]
            found = [table.find(digest) for digest in digests]
            for page in found:
                if page is not None:
                    table.own(page)
            pages = [
                self._bring(group, digest) if page is None else page
                for page, digest in zip(found, digests, strict=True)
            ]
            sequence.pages.append([RELEASED] * first + pages)
        sequence.computed, sequence.published = matched, depth

    def reserve(self, sequence: Sequence, tokens: int) -> bool:
        """Give a sequence pages for so many tokens, if there are enough."""
        needed = pages_for(tokens) - len(sequence.pages[0])
        if needed <= 0:
            return True
        if needed > self._available:
            return False
        for group, pages in enumerate(sequence.pages):
            pages += self._allocate(group, needed)
        return True

    def room(self, sequence: Sequence) -> int:
        """Return how long a sequence may get before another would have to give pages up."""
        return (len(sequence.pages[0]) + self._available) * PAGE_SIZE

    def reach(self, start: int) -> int:
        """Return up to where a sequence can be computed in one step from ``start``."""
        ends = [
            (self._first(group, start) + self.tables[group].num_pages) * PAGE_SIZE
            for group, _ in self._sliding
        ]
        return min(ends, default=self.tables[0].num_pages * PAGE_SIZE)

    def advance(self, sequence: Sequence) -> None:
        """Offer pages that have become full for reuse, and give back those that windows passed.

        Both may happen while the step that fills or reads them is still running: whoever gets such
        a page uses it in a step that is launched later. A page whose newest token is not known yet
        has no digest, and waits.
        """
        computed = min(sequence.computed, len(sequence.tokens))
        if computed // PAGE_SIZE <= sequence.published:
            return
        self._publish(sequence, computed // PAGE_SIZE)
        for group, _ in self._sliding:
            passed = self._passed(sequence.pages[group], self._first(group, computed))
            self.tables[group].release(passed, least_valuable=True)

    def release(self, sequence: Sequence) -> None:
        """Take all pages from a sequence.

        A step that was launched for it may still write to them. What is launched later runs later
        on the device, so that the next owner's tokens come after these writes; and its newest page
        is not published, so that nobody else reads there.
        """
        for table, pages in zip(self.tables, sequence.pages, strict=False):
            table.release([page for page in pages if page != RELEASED])
        sequence.pages = []
        sequence.computed = sequence.published = sequence.behind = 0

    def unpublish(self, sequence: Sequence, start: int, end: int) -> None:
        """Drop what is known of pages whose content is in doubt; no sequence may own them.

        Args:
            sequence: Whose tokens should be there.
            start: Position of the first of them.
            end: Position after the last one.
        """
        for digest in sequence.digests[start // PAGE_SIZE : pages_for(end)]:
            for table in self.tables:
                table.unpublish(digest)
            if self._states is not None:
                self._states.drop(digest)

    def forget(self) -> None:
        """Drop what is known of the pages' content; no sequence may own any."""
        for table in self.tables:
            table.forget()
        if self._states is not None:
            self._states.forget()

    def check(self, sequences: Iterable[Sequence]) -> None:
        """Compare the books with what the sequences hold.

        Raises:
            AssertionError: They disagree.
        """
        holders = [one for one in sequences if one.pages]
        for group, table in enumerate(self.tables):
            table.check([one.pages[group] for one in holders])
        for one in holders:
            assert len({len(pages) for pages in one.pages}) == 1, "groups differ in length"
            assert RELEASED not in one.pages[0], "without a window nothing is passed"
        if self._states is not None:
            known = set(self.tables[0].digests())
            assert set(self._states.digests) <= known, "a snapshot cannot be found again"

    @property
    def _available(self) -> int:
        if not self._sliding:
            return self.tables[0].available
        return min(table.available for table in self.tables)

    def _first(self, group: int, computed: int) -> int:
        """Return the first place whose page a group still needs.

        Those are the pages that the next token sees from the last page boundary, so that the
        sequence can also be found again and gone on with from there.
        """
        window = self._windows[group]
        if window is None:
            return 0
        return max(computed // PAGE_SIZE * PAGE_SIZE - window + 1, 0) // PAGE_SIZE

    def _missing(self, digests: Items[bytes], depth: int) -> int | None:
        """Return a place because of which no more than so many pages match, if there is one."""
        if self._states is not None and not self._has_state(digests[depth - 1]):
            return depth - 1
        for group, _ in self._sliding:
            for place in range(depth - 1, self._first(group, depth * PAGE_SIZE) - 1, -1):
                if not self._has(group, digests[place]):
                    return place
        return None

    def _has(self, group: int, digest: bytes) -> bool:
        if self.tables[group].find(digest) is not None:
            return True
        return self._store is not None and self._store.has(group, digest)

    def _has_state(self, digest: bytes) -> bool:
        if self._states is not None and digest in self._states.digests:
            return True
        return self._store is not None and self._store.has_state(digest)

    def _digests(self, sequence: Sequence, count: int) -> list[bytes]:
        """Return the digests of a sequence's first full pages; each is computed once."""
        digests = sequence.digests
        for place in range(len(digests), count):
            parent = digests[-1] if digests else b""
            digests.append(page_digest(parent, sequence.tokens, place))
        return digests[:count] if len(digests) > count else digests

    def _publish(self, sequence: Sequence, count: int) -> None:
        places = range(sequence.published, count) if self.prefix_caching else ()
        digests = self._digests(sequence, count if self.prefix_caching else 0)
        for place in places:
            for table, pages in zip(self.tables, sequence.pages, strict=True):
                pages[place] = table.publish(pages[place], digests[place])
        sequence.published = count

    def _passed(self, pages: list[int], first: int) -> list[int]:
        """Take the pages before ``first`` out of a list, and return those that were there."""
        begin = first
        while begin and pages[begin - 1] != RELEASED:
            begin -= 1
        passed = pages[begin:first]
        pages[begin:first] = [RELEASED] * len(passed)
        return passed

    def _bring(self, group: int, digest: bytes) -> int:
        """Fill a page from main memory."""
        [page] = self._allocate(group, 1)
        if self._store is None:
            raise ValueError("there is nowhere to bring a page from")
        self._store.bring(group, page, digest)
        return self.tables[group].publish(page, digest)

    def _allocate(self, group: int, count: int) -> list[int]:
        pages, evicted = self.tables[group].allocate(count)
        for one in evicted:
            self._see_off(group, one)
        return pages

    def _see_off(self, group: int, evicted: Evicted) -> None:
        """Let main memory keep a page that is given away, and the state at its end with it."""
        if self._store is not None:
            self._store.keep(group, evicted.page, evicted.digest)
        if group == 0 and self._states is not None:
            self._states.evict(evicted.digest)
