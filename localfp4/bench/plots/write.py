"""Draws runs into files of a folder."""

from collections.abc import Sequence
from pathlib import Path

from localfp4.bench.plots.quality_chart import quality_figure
from localfp4.bench.plots.sheets import sheets
from localfp4.bench.plots.study import study_figure
from localfp4.bench.plots.trades import trades
from localfp4.bench.quality import Quality
from localfp4.bench.records import Run
from localfp4.documents.files import write_file
from localfp4.documents.pictures.canvas import Form, as_bytes, drawing

INSTEAD = "ask for --plot term, which needs no library"
"""What a user can do without matplotlib."""


def write_figures(
    runs: Sequence[Run], folder: Path, form: Form, quality: Sequence[Quality] = ()
) -> tuple[Path, ...]:
    """Draw ``figure.png`` of the first device, ``figure-2.png`` of the next, and ``quality.png``.

    The same runs make the same bytes with the same version of matplotlib.

    Args:
        runs: What to draw together, at least one.
        folder: Where to; it is made where it is not there.
        form: ``png`` or ``svg``.
        quality: Results of evaluations; without any there is no chart of them.

    Returns:
        The files, in that order; quality charts of further devices are ``quality-2.png`` and so on.

    Raises:
        UserError: Matplotlib is missing, nothing was measured, results are of nothing in the runs,
            or a file cannot be written.
    """
    pages = sheets(runs)
    charts = trades(runs, quality) if quality else ()
    of_device = {
        page.device: [one for one in charts if one.device == page.device] for page in pages
    }
    pictures: list[tuple[str, bytes]] = []
    with drawing(INSTEAD):
        for number, page in enumerate(pages, 1):
            pictures.append((_name("figure", number, form), as_bytes(study_figure(page), form)))
        drawn = [page for page in pages if of_device[page.device]]
        for number, page in enumerate(drawn, 1):
            figure = quality_figure(page, of_device[page.device])
            pictures.append((_name("quality", number, form), as_bytes(figure, form)))
    return tuple(write_file(folder / name, content) for name, content in pictures)


def _name(picture: str, number: int, form: Form) -> str:
    return f"{picture}.{form}" if number == 1 else f"{picture}-{number}.{form}"
