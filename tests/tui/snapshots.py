"""Pictures of the screen that are kept, and compared by what they show.

An SVG is compared by its words, their places and their styles: how a library numbers classes or
embeds fonts is not what a person sees.
"""

import os
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS"
_SVG = "{http://www.w3.org/2000/svg}"

Drawn = list[tuple[str, ...]]


def check(picture: str, name: str) -> None:
    """Compare a picture with the kept one of a name, or keep it where that is asked for."""
    path = FOLDER / f"{name}.svg"
    svg = slim(picture)
    if os.environ.get(UPDATE) == "1":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")
        return
    again = f"{UPDATE}=1 pytest {Path(__file__).parent / 'test_snapshots.py'} keeps what it is now"
    assert path.exists(), f"There is no {path}; {again}."
    expected, shown = drawn(path.read_text(encoding="utf-8")), drawn(svg)
    if shown != expected:
        new = Path(tempfile.gettempdir()) / f"{name}.svg"
        new.write_text(svg, encoding="utf-8")
        gone = [piece for piece in expected if piece not in shown][:5]
        come = [piece for piece in shown if piece not in expected][:5]
        raise AssertionError(
            f"The screen differs from {path}.\nOpen {new} beside it; {again}.\n"
            f"Gone: {gone}\nNew:  {come}"
        )


def slim(svg: str) -> str:
    """Return a picture without what no eye sees: clip paths, fonts from afar, numbers of ids."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(r"@font-face \{[^}]*\}\s*", "", svg)
    svg = re.sub(r"<clipPath id=\"terminal-line-\d+\">.*?</clipPath>\s*", "", svg, flags=re.DOTALL)
    return re.sub(r" clip-path=\"url\(#terminal-line-\d+\)\"", "", svg)


def drawn(svg: str) -> Drawn:
    """Return what a picture shows: words and backgrounds with place and style, in order."""
    root = ElementTree.fromstring(svg)
    rules = "".join(style.text or "" for style in root.iter(f"{_SVG}style"))
    styles = dict(re.findall(r"\.(terminal-r\d+)\s*\{([^}]*)\}", rules))
    pieces: Drawn = []
    for element in root.iter():
        if element.tag == f"{_SVG}text" and element.get("class") in styles:
            style = styles[str(element.get("class"))].replace(" ", "")
            place = (element.get("x", ""), element.get("y", ""))
            pieces.append((*place, element.text or "", style))
        elif element.tag == f"{_SVG}rect" and element.get("shape-rendering") == "crispEdges":
            place = (element.get("x", ""), element.get("y", ""))
            pieces.append((*place, element.get("width", ""), element.get("fill", "")))
    return pieces
