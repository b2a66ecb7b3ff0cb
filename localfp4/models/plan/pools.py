"""How many pages the pools of a model's KV groups need, and their bytes."""

from dataclasses import dataclass

from localfp4.config import PAGE_SIZE
from localfp4.models.cache_bytes import page_bytes
from localfp4.models.kv_groups import kv_groups
from localfp4.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of a model.

    Attributes:
        page_bytes: Bytes of a page of each group, all its layers together.
        window_pages: Most pages that one sequence holds of each group at a time; ``None`` for
            the group that sees everything.
    """

    page_bytes: tuple[int, ...]
    window_pages: tuple[int | None, ...]

    @property
    def has_windows(self) -> bool:
        """Whether any group keeps less than the whole context."""
        return len(self.page_bytes) > 1

    def pages(self, tokens: int, sequences: int) -> tuple[int, ...]:
        """Return the pages of each group, without the one that padding is written to.

        Args:
            tokens: Of all sequences together, in layers that see everything.
            sequences: How many of them are longer than the windows.
        """
        whole = pages_for(tokens)
        return tuple(
            whole if window is None else min(whole, sequences * window)
            for window in self.window_pages
        )

    def nbytes(self, pages: tuple[int, ...]) -> int:
        """Return the bytes of pools of so many pages and the one that padding is written to."""
        return sum((count + 1) * size for count, size in zip(pages, self.page_bytes, strict=True))


def pools_of(spec: DecoderSpec, kv_dtype: str, step_tokens: int, beside: int = 0) -> Pools:
    """Return the pools of a model.

    A sequence holds of a window what its next token sees, what a step of a prompt adds, and a page
    because neither begins at the beginning of one.

    Args:
        spec: The model.
        kv_dtype: Type of the cache.
        step_tokens: Most tokens that one step adds to a sequence.
        beside: Bytes of a token that another model keeps in pages of the same numbers.
    """
    groups = kv_groups(spec)
    first, *others = page_bytes(spec, kv_dtype)
    return Pools(
        (first + beside * PAGE_SIZE, *others),
        tuple(
            None if group.window is None else pages_for(group.window + step_tokens) + 1
            for group in groups
        ),
    )


def pages_for(tokens: int) -> int:
    """Return the pages that hold so many tokens."""
    return -(-tokens // PAGE_SIZE)


def whole_pages(tokens: int) -> int:
    """Round up to whole pages."""
    return pages_for(tokens) * PAGE_SIZE
