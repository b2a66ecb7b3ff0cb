"""Text and boxes as SVG: escaped, without scripts, and with fonts that every system has."""

from unicodedata import east_asian_width
from xml.etree import ElementTree as Xml

from localfp4.documents.markdown import one_line
from localfp4.documents.pictures.words import shortened

_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_NO_XML = {0xFFFE: None, 0xFFFF: None}
"""Characters that are printable, but that no XML may hold."""

_SMALLEST = 0.75
"""How far text shrinks before its middle is left out."""


class Svg:
    """A picture that is drawn from back to front."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._root = Xml.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(width),
                "height": str(height),
                "viewBox": f"0 0 {width} {height}",
                "role": "img",
                "font-family": _FONTS,
            },
        )
        Xml.SubElement(self._root, "title").text = _printable(title)

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, radius: float = 0
    ) -> None:
        """Draw a filled box."""
        sizes = {"x": x, "y": y, "width": width, "height": height, "rx": radius}
        attributes = {name: f"{size:g}" for name, size in sizes.items() if size or name != "rx"}
        Xml.SubElement(self._root, "rect", attributes | {"fill": fill})

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str,
        *,
        room: float,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write one line with its baseline at ``y``; what is too long shrinks and is shortened.

        Args:
            x: Where it is anchored.
            y: Its baseline.
            text: What to write.
            size: Of the font, at most.
            fill: Its colour.
            room: Width that it may take.
            anchor: ``start``, ``middle`` or ``end``.
            bold: Whether it is.
        """
        written, fitting = fitted(_printable(text), size, room, bold)
        attributes = {
            "x": f"{x:g}",
            "y": f"{y:g}",
            "font-size": f"{fitting:.4g}",
            "fill": fill,
            "text-anchor": anchor,
        }
        if bold:
            attributes["font-weight"] = "700"
        Xml.SubElement(self._root, "text", attributes).text = written

    def __str__(self) -> str:
        """Return the picture as a document."""
        Xml.indent(self._root)
        return Xml.tostring(self._root, encoding="unicode") + "\n"


def fitted(text: str, size: float, room: float, bold: bool = False) -> tuple[str, float]:
    """Return a text and a font size with which it is no wider than there is room."""
    width = _width(text, bold) * size
    if width <= room:
        return text, size
    smaller = max(size * room / width, size * _SMALLEST)
    most = len(text)
    while most > 1 and _width(shortened(text, most), bold) * smaller > room:
        most -= 1
    return shortened(text, most), smaller


def broken(text: str, size: float, room: float) -> list[str]:
    """Return the lines of a text, broken between words so that none is wider than there is room."""
    lines: list[str] = []
    for word in _printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer, bold=False) * size <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _width(text: str, bold: bool) -> float:
    """Estimate the width of text in ems, rather too wide than too narrow."""
    return sum(map(_ems, text)) * (1.16 if bold else 1.0)


def _ems(character: str) -> float:
    if east_asian_width(character) in "WF":
        return 1.0
    if character in "mwMW@%":
        return 0.9
    if character.isupper():
        return 0.68
    return 0.32 if character in " .,:;|il!'·" else 0.58


def _printable(text: str) -> str:
    return one_line(text).translate(_NO_XML)
