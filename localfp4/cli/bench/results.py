"""Hands out what came of a run: the report, plots and the card."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import click

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality, read_quality
from localfp4.bench.records import Run
from localfp4.bench.report.adallm import adallm
from localfp4.bench.report.write import Form, write
from localfp4.bench.sharing.card import card
from localfp4.cli.bench.destination import Destination
from localfp4.cli.report_file import note
from localfp4.documents.files import write_file
from localfp4.documents.markdown import WIDTH
from localfp4.documents.pictures.canvas import require_library

_CARD = "card.svg"
_NARROWEST, _LOWEST = 40, 12


@dataclass(frozen=True, slots=True)
class Extras:
    """What is made of a run besides its report.

    Attributes:
        plots: Of ``png``, ``svg`` and ``term``.
        share: Whether to draw the card.
        quality: What is known of the models' answers.
        prices: Of energy and of the device.
        is_adallm: Whether the report in Markdown is AdaLLM's table.
    """

    plots: tuple[str, ...] = ()
    share: bool = False
    quality: tuple[Quality, ...] = ()
    prices: Prices = field(default_factory=Prices)
    is_adallm: bool = False


def extras(options: Mapping[str, Any], *, is_adallm: bool = False) -> Extras:
    """Return what options ask for besides the report.

    Raises:
        UserError: A file with qualities cannot be read.
    """
    return replace(
        _pictures(options, options["plot"]),
        prices=Prices(options["price_kwh"], options["price_hour"]),
        is_adallm=is_adallm,
    )


def pictures(options: Mapping[str, Any]) -> Extras:
    """Return which pictures options ask for; the figure, where they ask for none.

    Raises:
        UserError: A file with qualities cannot be read.
    """
    return _pictures(options, options["plot"] or (() if options["share"] else ("png",)))


def _pictures(options: Mapping[str, Any], plots: tuple[str, ...]) -> Extras:
    return Extras(plots=plots, share=options["share"], quality=read_quality(options["evals"]))


def require_place(place: Destination, made: Extras, *, resume: bool) -> None:
    """Refuse before minutes of measuring what would fail after them.

    Raises:
        UsageError: There is no folder for what belongs into one.
        UserError: The library that draws is missing.
    """
    drawn = [kind for kind in made.plots if kind != "term"]
    if drawn and place.folder is None:
        raise click.UsageError(
            f"--plot {','.join(drawn)} draws files: name their folder with --out DIR, or draw on "
            "the terminal with --plot term."
        )
    if resume and place.folder is None:
        raise click.UsageError("--resume goes on with the run in a folder: name it with --out DIR.")
    if drawn:
        from localfp4.bench.plots.write import INSTEAD

        require_library(INSTEAD)


def hand_out(run: Run, destination: Destination, made: Extras) -> None:
    """Print or write the report, and draw what was asked for.

    Raises:
        UserError: A file cannot be written, or the library that draws is missing.
    """
    form = destination.form
    destination.report(_report(run, form, made, terminal_width()), _report(run, form, made, WIDTH))
    is_text = destination.form == "md" and destination.file is None
    draw([run], destination.folder or Path(), made, is_text=is_text)


def draw(runs: Sequence[Run], folder: Path, made: Extras, *, is_text: bool) -> None:
    """Draw plots and the card of runs.

    Args:
        runs: At least one.
        folder: Where files go.
        made: What to draw.
        is_text: Whether plots on the terminal may stand on standard output.

    Raises:
        UserError: A file cannot be written, or the library that draws is missing.
    """
    for kind in made.plots:
        if kind == "term":
            for run in runs:
                click.echo(f"\n{_on_terminal(run)}", err=not is_text)
            continue
        from localfp4.bench.plots.write import write_figures

        form = cast(Literal["png", "svg"], kind)
        for path in write_figures(runs, folder, form, made.quality):
            note(f"wrote {path}")
    if made.share:
        for number, run in enumerate(runs, 1):
            name = _CARD if number == 1 else f"card-{number}.svg"
            note(f"wrote {write_file(folder / name, card(run).encode())}")


def terminal_width() -> int:
    """Return how many characters fit a line; as many as reports have where it is no terminal."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(shutil.get_terminal_size().columns, _NARROWEST)


def _report(run: Run, form: str, made: Extras, width: int) -> str:
    if made.is_adallm and form == "md":
        return adallm(run)
    return write(run, cast(Form, form), made.quality, made.prices, width)


def _on_terminal(run: Run) -> str:
    from localfp4.bench.plots.terminal import terminal

    rows = shutil.get_terminal_size().lines
    return terminal(run, terminal_width(), max(rows - 2, _LOWEST))
