"""What the signs of panels stand for, in the legend."""

from collections.abc import Sequence

from localfp4.bench.plots.panels import Panel
from localfp4.documents.pictures.legend import Key
from localfp4.documents.pictures.look import GREY, INK


def keys_of_signs(panels: Sequence[Panel]) -> list[Key]:
    """Return the keys of limits and of cells that did not fit, where panels have them."""
    keys: list[Key] = []
    lines = [line for panel in panels for line in panel.lines]
    swept = panels[0].column.axis is not None
    if any(point.limit for line in lines for point in line.points):
        dashes = {"color": GREY, "linewidth": 0.9, "dashes": (4, 3)}
        stroke = {"color": INK, "marker": "|", "markersize": 11, "linestyle": ""}
        keys.append(("limit of the device", dashes if swept else stroke))
    if swept and any(line.misfits for line in lines):
        keys.append(("did not fit", {"color": GREY, "marker": "x", "linestyle": ""}))
    return keys
