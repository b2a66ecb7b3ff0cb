"""Foreign text, and sizes, made fit for one line of a message; stdlib only."""

MAX_SHOWN = 300
"""Longest excerpt of foreign text in a message, in characters."""


def shown(text: object) -> str:
    """Return ``text`` without control, escape or bidirectional characters, cut to one excerpt."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return clean if len(clean) <= MAX_SHOWN else clean[: MAX_SHOWN - 1] + "…"


def listed(names: list[str], most: int = 3) -> str:
    """Return the first ``most`` names, and how many more there are."""
    head = ", ".join(shown(name) for name in names[:most])
    return head if len(names) <= most else f"{head} and {len(names) - most} more"


def size(count: int) -> str:
    """Return bytes of a disk in the unit of 10^3 that leaves a number below 1000: ``6.4 GB``."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= 0.99995 * factor:  # 999.96 would be rounded to 1000.0
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
