"""Colours and markers of series, which colour-blind readers can tell apart, and in print."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
"""Of Okabe & Ito (2008), without the yellow that white paper swallows."""

MARKERS = "os^Dv<P>"
"""As matplotlib spells them; one more than there are colours, so that 56 series differ."""

INK, GREY, RULES = "#1b1f24", "#57606a", "#d8dee4"
"""Of text, of lesser text, and of the lines behind figures."""


def look(number: int) -> tuple[str, str]:
    """Return the colour and the marker of a series by its number."""
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
