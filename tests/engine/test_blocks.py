"""The page table of one pool, by the digests of its pages."""

import pytest

from localfp4.config import PAGE_SIZE
from localfp4.engine.blocks import PageTable, page_digest


def take(table: PageTable, count: int = 1) -> list[int]:
    pages, _ = table.allocate(count)
    return pages


def published(table: PageTable, *digests: bytes) -> list[int]:
    """Fill a page each, as one sequence does, and return them."""
    pages = take(table, len(digests))
    return [table.publish(page, digest) for page, digest in zip(pages, digests, strict=True)]


def test_a_page_is_released_once() -> None:
    table = PageTable(2)
    pages = take(table)
    table.release(pages)
    with pytest.raises(ValueError, match="released twice"):
        table.release(pages)


def test_too_large_an_allocation_takes_nothing() -> None:
    table = PageTable(2)
    take(table)
    with pytest.raises(ValueError, match="2 pages were asked for, 1 are available"):
        table.allocate(2)
    assert table.available == 1


def test_a_shared_page_lives_as_long_as_its_last_owner() -> None:
    table = PageTable(1)
    [page] = published(table, b"a")
    table.own(page)
    table.release([page])
    assert table.is_owned(page)
    with pytest.raises(ValueError, match="0 are available"):
        table.allocate(1)
    table.release([page])
    assert not table.is_owned(page)
    assert table.allocate(1) == ([page], [(page, b"a")])


def test_evicts_the_least_recently_used_and_nothing_that_is_owned() -> None:
    table = PageTable(3)
    old, middle, new = (published(table, digest) for digest in (b"old", b"middle", b"new"))
    for pages in (old, middle, new):
        table.release(pages)
    [page] = old
    table.own(page)
    assert table.allocate(1) == (middle, [(middle[0], b"middle")])
    table.release(old)
    assert take(table) == new
    assert table.find(b"new") is None
    assert table.find(b"old") == page


def test_evicts_the_end_of_a_sequence_before_its_beginning() -> None:
    table = PageTable(3)
    pages = published(table, b"1", b"2", b"3")
    table.release(pages)
    assert take(table) == pages[2:]


def test_evicts_what_a_window_has_passed_first() -> None:
    table = PageTable(4)
    other, pages = published(table, b"other"), published(table, b"1", b"2", b"3")
    table.release(other)
    table.release(pages[:2], least_valuable=True)
    assert take(table, 3) == [*pages[:2], *other]


def test_free_pages_go_before_cached_ones() -> None:
    table = PageTable(2)
    cached = published(table, b"a")
    table.release(cached)
    pages, evicted = table.allocate(1)
    assert pages != cached
    assert evicted == []
    assert table.find(b"a") == cached[0]


def test_a_twice_computed_page_is_replaced_by_the_one_that_is_there() -> None:
    table = PageTable(2)
    first, second = published(table, b"a"), published(table, b"a")
    assert second == first
    assert table.available == 1
    table.check([first, second])


def test_what_is_unpublished_is_free_and_not_found() -> None:
    table = PageTable(2)
    pages = published(table, b"a", b"b")
    table.release(pages)
    table.unpublish(b"a")
    table.unpublish(b"a")
    assert (table.find(b"a"), table.find(b"b")) == (None, pages[1])
    table.check([])
    table.forget()
    assert table.find(b"b") is None
    table.check([])
    assert sorted(take(table, 2)) == [0, 1]


def test_digests_depend_on_everything_before() -> None:
    tokens = [*[1] * PAGE_SIZE, *[3] * PAGE_SIZE]
    other = [*[2] * PAGE_SIZE, *[3] * PAGE_SIZE]
    beginnings = [page_digest(b"", one, 0) for one in (tokens, other)]
    pages = {page_digest(start, tokens, 1) for start in beginnings}
    assert len({*beginnings, *pages}) == 4
    assert page_digest(beginnings[0], [*tokens, 5], 1) in pages


def test_check_notices_wrong_books() -> None:
    table = PageTable(4)
    pages = published(table, b"a", b"b")
    table.check([pages])
    table.check([[-1, *pages]])
    for wrong in ([], [pages, pages], [pages[:1]], [[*pages, pages[0]]]):
        with pytest.raises(AssertionError):
            table.check(wrong)
