"""``localfp4 bench plot``: draws runs that were measured before."""

from pathlib import Path
from typing import Any

import click

from localfp4.bench.quality import require_joined
from localfp4.bench.running.store import read_run
from localfp4.cli.bench.options import picture_options
from localfp4.cli.bench.results import draw, pictures


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@picture_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the files; by default that of the first run.",
)
def plot(runs: tuple[Path, ...], out: Path | None, **options: Any) -> None:
    """Draw RUN again, or several together: one figure for each device.

    RUN is a folder that `localfp4 bench --out` filled, or a report in JSON. Without --plot the
    figure is drawn as PNG.
    """
    made = pictures(options)
    found = [read_run(path) for path in runs]
    require_joined((row.series for run in found for row in run.rows), made.quality)
    first = runs[0]
    draw(found, out or (first if first.is_dir() else first.parent), made, is_text=True)
