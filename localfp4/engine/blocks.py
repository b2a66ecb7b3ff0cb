"""Which page of one pool belongs to whom; knows neither tensors nor tokens.

A page is free, owned by one or more sequences, or cached: full of tokens nobody uses now, but kept
under a digest of everything up to its end, so that a prompt with the same beginning can take it
over. Cached pages are given away, least recently used first, when free ones run out.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from localfp4.config import PAGE_SIZE

RELEASED = -1
"""Stands in a sequence's pages for one that a window has passed."""


class Evicted(NamedTuple):
    """A cached page that was given away, and what it was known by."""

    page: int
    digest: bytes


class PageTable:
    """The bookkeeping of ``num_pages`` pages of ``PAGE_SIZE`` tokens."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        # A heap: handing out the lowest page keeps a lone sequence's pages in one run of memory.
        self._free = list(range(num_pages))
        self._owners = [0] * num_pages
        self._digest_of: dict[int, bytes] = {}
        self._page_of: dict[bytes, int] = {}
        self._cached: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        """Pages that can be handed out now, cached ones included."""
        return len(self._free) + len(self._cached)

    @property
    def in_use(self) -> int:
        """Pages owned by at least one sequence."""
        return self.num_pages - self.available

    def allocate(self, count: int) -> tuple[list[int], list[Evicted]]:
        """Hand out pages with one owner each, and say which of them were cached.

        Raises:
            ValueError: Fewer are available; none is handed out.
        """
        if count > self.available:
            raise ValueError(f"{count} pages were asked for, {self.available} are available")
        pages: list[int] = []
        evicted: list[Evicted] = []
        for _ in range(count):
            if self._free:
                page = heappop(self._free)
            else:
                page, _ = self._cached.popitem(last=False)
                digest = self._digest_of.pop(page)
                del self._page_of[digest]
                evicted.append(Evicted(page, digest))
            self._owners[page] = 1
            pages.append(page)
        return pages, evicted

    def find(self, digest: bytes) -> int | None:
        """Return the page that holds what is known by a digest, without owning it."""
        return self._page_of.get(digest)

    def is_owned(self, page: int) -> bool:
        """Whether a page belongs to a sequence, as opposed to being cached or free."""
        return self._owners[page] > 0

    def own(self, page: int) -> None:
        """Give a published page one more owner."""
        self._cached.pop(page, None)
        self._owners[page] += 1

    def publish(self, page: int, digest: bytes) -> int:
        """Offer a page that has become full for reuse, and return the page to go on with.

        Another with the same content may be there already, since sequences compute the same at
        once, or one had no snapshot to go on from: it takes the new one's place.
        """
        same = self._page_of.setdefault(digest, page)
        if same == page:
            self._digest_of[page] = digest
            return page
        self.own(same)
        self.release([page])
        return same

    def release(self, pages: Sequence[int], *, least_valuable: bool = False) -> None:
        """Take one owner off each page.

        Args:
            pages: Some pages of a sequence, in order.
            least_valuable: Whether those of them that stay cached are the first to be given away.

        Raises:
            ValueError: A page has no owner.
        """
        # The end of a sequence is less likely to be shared than its beginning: it becomes the
        # least recently used.
        for page in reversed(pages):
            if self._owners[page] == 0:
                raise ValueError(f"page {page} is released twice")
            self._owners[page] -= 1
            if self._owners[page]:
                continue
            if page in self._digest_of:
                self._cached[page] = None
                if least_valuable:
                    self._cached.move_to_end(page, last=False)
            else:
                heappush(self._free, page)

    def unpublish(self, digest: bytes) -> None:
        """Drop what is known by a digest, if anything is; nobody may own its page."""
        page = self._page_of.pop(digest, None)
        if page is not None:
            del self._digest_of[page]
            del self._cached[page]
            heappush(self._free, page)

    def forget(self) -> None:
        """Drop what pages are known by."""
        self._free += self._cached
        heapify(self._free)
        for books in (self._cached, self._digest_of, self._page_of):
            books.clear()

    def digests(self) -> Iterable[bytes]:
        """Return what published pages are known by."""
        return self._page_of.keys()

    def check(self, owned: Sequence[Sequence[int]]) -> None:
        """Compare the books with what the sequences hold.

        Raises:
            AssertionError: They disagree.
        """
        expected = [0] * self.num_pages
        for pages in owned:
            held = [page for page in pages if page != RELEASED]
            assert len(set(held)) == len(held), "a sequence holds a page twice"
            for page in held:
                expected[page] += 1
        assert self._owners == expected, "owners differ from what the sequences hold"
        unowned = sorted([*self._free, *self._cached])
        assert unowned == [page for page, owners in enumerate(expected) if not owners]
        assert {digest: page for page, digest in self._digest_of.items()} == self._page_of
        assert set(self._cached) <= set(self._digest_of), "a cached page cannot be found again"
        assert not set(self._free) & set(self._digest_of), "a free page can still be found"


def page_digest(parent: bytes, tokens: Sequence[int], place: int) -> bytes:
    """Digest a page's tokens together with the digest of everything before it."""
    page = array("q", tokens[place * PAGE_SIZE : (place + 1) * PAGE_SIZE])
    return blake2b(parent + page.tobytes(), digest_size=16).digest()


def pages_for(tokens: int) -> int:
    """Return how many pages so many tokens take."""
    return -(-tokens // PAGE_SIZE)
