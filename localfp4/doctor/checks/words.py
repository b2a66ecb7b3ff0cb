"""Amounts and lists in the words of findings."""

from collections.abc import Sequence


def gib(count: int) -> str:
    """Return memory such as ``7.6 GiB``."""
    return f"{count / 2**30:.1f} GiB"


def gb(count: int) -> str:
    """Return a size on a disk such as ``87 GB``, with a decimal below ten."""
    return f"{count / 1e9:.1f} GB" if count < 10**10 else f"{count / 1e9:.0f} GB"


def short_name(card: str) -> str:
    """Return a card's name without its maker."""
    return card.removeprefix("NVIDIA ")


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
