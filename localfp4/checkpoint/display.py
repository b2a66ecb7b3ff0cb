"""Text that came with a checkpoint, made fit for one line of an error message; stdlib only."""

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
