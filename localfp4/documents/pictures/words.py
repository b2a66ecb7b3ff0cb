"""Numbers and names as they are written into pictures."""


def plain(number: float) -> str:
    """Return a number with about three digits and no exponent, such as ``1,250`` or ``0.42``."""
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}".removesuffix(".0")
    return f"{number:.2g}" if number < 1 else f"{number:.2f}".rstrip("0").rstrip(".")


def shortened(text: str, most: int) -> str:
    """Return a text that is no longer than some characters, its middle left out if need be.

    The end of a name tells series apart as often as its beginning.
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
