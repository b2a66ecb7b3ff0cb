"""Matplotlib, imported when it is needed, and pictures as bytes that are the same each time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from localfp4.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["png", "svg"]

_DOTS_PER_INCH = 150


@contextmanager
def drawing(instead: str = "leave --plot out") -> Iterator[None]:
    """Draw with the same settings on every computer, and leave matplotlib's own as they were.

    Args:
        instead: What a user can do without matplotlib.

    Raises:
        UserError: Matplotlib is not installed, or cannot be imported.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            f"Pictures are drawn with matplotlib, which cannot be imported ({error}); "
            f"pip install 'localfp4[plots]', or {instead}."
        ) from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no news to a terminal.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": ["DejaVu Sans"],  # its own, which is the same everywhere
                "svg.hashsalt": "localfp4",  # names parts of the picture; else it is random
                "text.parse_math": False,  # the dollars of a name are no formula
            }
        )
        yield


def require_library(instead: str = "leave --plot out") -> None:
    """Refuse where pictures could not be drawn.

    Args:
        instead: What a user can do without matplotlib.

    Raises:
        UserError: Matplotlib is not installed, or cannot be imported.
    """
    with drawing(instead):
        pass


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty white figure of a size in inches; call within :func:`drawing`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, facecolor="white")


def as_bytes(figure: "Figure", form: Form) -> bytes:
    """Return a picture; call within :func:`drawing`."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    picture = BytesIO()
    figure.savefig(picture, format=form, metadata=metadata[form])
    return picture.getvalue()
