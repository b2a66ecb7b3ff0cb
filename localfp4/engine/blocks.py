"""Which page of the KV cache belongs to whom; knows neither tensors nor requests.

A page is free, owned by one or more sequences, or cached: full of tokens nobody uses now, but kept
under a hash of everything up to its end, so that a prompt with the same beginning can take it
over. Cached pages are given away, least recently used first, when free ones run out.
"""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from heapq import heappop, heappush

from localfp4.config import PAGE_SIZE


class PageTable:
    """The bookkeeping of ``num_pages`` pages of ``PAGE_SIZE`` tokens."""

    def __init__(self, num_pages: int, *, prefix_caching: bool = True) -> None:
        self.num_pages = num_pages
        self._prefix_caching = prefix_caching
        # A heap: handing out the lowest page keeps a lone sequence's pages in one run of memory.
        self._free = list(range(num_pages))
        self._owners = [0] * num_pages
        self._hash_of: dict[int, bytes] = {}
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

    def allocate(self, count: int) -> list[int]:
        """Hand out pages with one owner each.

        Raises:
            ValueError: Fewer are available; none is handed out.
        """
        if count > self.available:
            raise ValueError(f"{count} pages were asked for, {self.available} are available")
        return [self._take() for _ in range(count)]

    def match(self, tokens: Sequence[int]) -> list[int]:
        """Return pages that already hold the beginning of ``tokens``, each with one more owner.

        Only full pages match, and at least the last token is left to compute, since its logits
        are needed.
        """
        matched: list[int] = []
        digest = b""
        for place in range((len(tokens) - 1) // PAGE_SIZE if self._prefix_caching else 0):
            digest = _page_hash(digest, tokens, place)
            page = self._page_of.get(digest)
            if page is None:
                break
            self._cached.pop(page, None)
            self._owners[page] += 1
            matched.append(page)
        return matched

    def publish(
        self, tokens: Sequence[int], pages: Sequence[int], done: int, computed: int
    ) -> None:
        """Offer the pages that became full while ``done`` tokens grew to ``computed`` for reuse."""
        if not self._prefix_caching:
            return
        for place in range(done // PAGE_SIZE, computed // PAGE_SIZE):
            parent = self._hash_of.get(pages[place - 1]) if place else b""
            if parent is None or pages[place] in self._hash_of:
                continue
            digest = _page_hash(parent, tokens, place)
            # Two sequences may compute the same prefix at once: the second page stays private, and
            # so do those after it, whose parent has no hash.
            if digest not in self._page_of:
                self._page_of[digest] = pages[place]
                self._hash_of[pages[place]] = digest

    def release(self, pages: Sequence[int]) -> None:
        """Take one owner off each page.

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
            if page in self._hash_of:
                self._cached[page] = None
            else:
                heappush(self._free, page)

    def check(self, owned: Sequence[Sequence[int]]) -> None:
        """Compare the books with what the sequences hold.

        Raises:
            AssertionError: They disagree.
        """
        expected = [0] * self.num_pages
        for pages in owned:
            assert len(set(pages)) == len(pages), "a sequence holds a page twice"
            for page in pages:
                expected[page] += 1
        assert self._owners == expected, "owners differ from what the sequences hold"
        unowned = sorted([*self._free, *self._cached])
        assert unowned == [page for page, owners in enumerate(expected) if not owners]
        assert {digest: page for page, digest in self._hash_of.items()} == self._page_of
        assert set(self._cached) <= set(self._hash_of), "a cached page cannot be found again"
        assert not set(self._free) & set(self._hash_of), "a free page can still be found"

    def _take(self) -> int:
        if self._free:
            page = heappop(self._free)
        else:
            page, _ = self._cached.popitem(last=False)
            del self._page_of[self._hash_of.pop(page)]
        self._owners[page] = 1
        return page


def _page_hash(parent: bytes, tokens: Sequence[int], place: int) -> bytes:
    """Hash a page's tokens together with the hash of everything before it."""
    page = array("q", tokens[place * PAGE_SIZE : (place + 1) * PAGE_SIZE])
    return blake2b(parent + page.tobytes(), digest_size=16).digest()
