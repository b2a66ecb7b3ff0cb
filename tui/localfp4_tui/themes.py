"""The colours of the chat: a dark and a light theme of its own, and one without any colour.

Text keeps a contrast of 4.5 to what is behind it, as WCAG 2.2 asks for at level AA.
"""

from collections.abc import Iterable

from textual.theme import Theme

from localfp4.errors import RequestError
from localfp4.settings import likely

DARK = Theme(
    name="localfp4-dark",
    primary="#6cb0f5",
    secondary="#a79bf0",
    accent="#e0a3d8",
    warning="#e5b567",
    error="#f2777a",
    success="#7fc78a",
    foreground="#e3e6ea",
    background="#15171c",
    surface="#1d2026",
    panel="#22262e",
    dark=True,
    variables={
        "text-muted": "#9aa3ae",
        "block-cursor-foreground": "#10131a",
        "border": "#5a93cf",
        "border-blurred": "#3b414d",
        "button-color-foreground": "#10131a",
        "input-selection-background": "#6cb0f5 35%",
    },
)
LIGHT = Theme(
    name="localfp4-light",
    primary="#1a5fb4",
    secondary="#5d4ac0",
    accent="#8f2f83",
    warning="#8a5200",
    error="#b3202a",
    success="#1d6b35",
    foreground="#08090b",
    background="#faf9f6",
    surface="#f1efea",
    panel="#e9e6df",
    dark=False,
    variables={
        "text-muted": "#555b64",
        "block-cursor-foreground": "#ffffff",
        "border": "#1a5fb4",
        "border-blurred": "#b9b4a9",
        "button-color-foreground": "#ffffff",
        "input-selection-background": "#1a5fb4 25%",
    },
)
NO_COLOUR = Theme(
    name="none",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffffff",
    warning="#ffffff",
    error="#ffffff",
    success="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    dark=True,
    variables={
        "text-muted": "#909090",
        "block-cursor-background": "#ffffff",
        "block-cursor-foreground": "#000000",
        "block-cursor-blurred-background": "#ffffff",
        "block-cursor-blurred-foreground": "#000000",
        "border": "#ffffff",
        "border-blurred": "#707070",
        "primary-muted": "#000000",
        "warning-muted": "#000000",
        "error-muted": "#000000",
        "success-muted": "#000000",
        "button-color-foreground": "#000000",
        "input-cursor-background": "#ffffff",
        "input-cursor-foreground": "#000000",
        "input-selection-background": "#ffffff",
        "input-selection-foreground": "#000000",
        "screen-selection-background": "#ffffff",
        "screen-selection-foreground": "#000000",
    },
)
"""Only light on dark and dark on light, which :class:`~localfp4_tui.colourless.Colourless` turns
into the colours of the terminal."""

OURS = (DARK, LIGHT, NO_COLOUR)
_SHORT = {"dark": DARK.name, "light": LIGHT.name}


def theme_name(wanted: str, available: Iterable[str]) -> str:
    """Return the name of a theme that the user asked for; ``dark`` and ``light`` are ours.

    Raises:
        RequestError: There is no such theme.
    """
    name = wanted.strip().lower()
    names = sorted(available)
    if (name := _SHORT.get(name, name)) not in names:
        raise RequestError(f"There is no theme {wanted!r}; {likely(name, [*_SHORT, *names])}")
    return name
