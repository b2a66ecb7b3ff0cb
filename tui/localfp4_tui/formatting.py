"""Numbers and names as people read them; plain text in and out, no widgets."""

from localfp4.text.sanitize import sanitize

KILO = 1000
GIB = 2**30


def format_bytes(count: float) -> str:
    """Return bytes with a decimal unit and about three digits: ``812 kB``, ``4.90 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < KILO:
            return f"{count:.0f} {unit}"
        count /= KILO
    return f"{count:.2f} GB"


def format_gib(count: float) -> str:
    """Return bytes as a bare number of GiB: ``0.05``, ``9.1``, ``16``."""
    gib = count / GIB
    if gib < 0.1:
        return f"{gib:.2f}"
    return f"{gib:.1f}".removesuffix(".0")


def format_changing_gib(count: float) -> str:
    """Return GiB for a figure that is followed live, always with one decimal: ``4.0``, ``4.1``."""
    return f"{count / GIB:.1f}"


def format_count(count: float) -> str:
    """Return a count with a metric suffix: ``812``, ``2.1k``, ``8.2M``, ``30.5B``."""
    for limit, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= 0.99995 * limit:  # as more than that rounds to it
            return f"{count / limit:.1f}".removesuffix(".0") + suffix
    return f"{count:.0f}"


def format_seconds(seconds: float) -> str:
    """Return a duration: ``41 ms``, ``3.2 s``, ``12 s``, ``2 min 05 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def format_rate(tokens_per_s: float) -> str:
    """Return tokens per second: ``7.4 tok/s``, ``96 tok/s``."""
    return f"{tokens_per_s:.1f} tok/s" if tokens_per_s < 10 else f"{tokens_per_s:.0f} tok/s"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun in the right form: ``1 turn``, ``3 turns``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """Return text from outside fit for a single line: sanitised, each run of space a blank."""
    return " ".join(sanitize(text).split())


def bar(share: float, width: int) -> str:
    """Return a bar of ``width`` cells, filled to ``share`` (clipped to 0…1)."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "▓" * filled + "░" * (width - filled)
