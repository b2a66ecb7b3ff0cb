"""Where the results of an evaluation go."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import click

from localfp4.cli.bench.destination import Destination, destination
from localfp4.cli.bench.results import terminal_width
from localfp4.cli.report_file import note, require_writable
from localfp4.documents.files import write_file
from localfp4.documents.pictures.canvas import require_library
from localfp4.errors import UserError
from localfp4.evaluate.records import Evaluation
from localfp4.evaluate.report.json_report import to_json
from localfp4.evaluate.report.markdown_report import to_markdown
from localfp4.telemetry.environment import Environment

_FORMS = ("md", "json")
_FIGURE = "quality"


@dataclass(frozen=True, slots=True)
class Place:
    """Where results go, known before anything is loaded.

    Attributes:
        report: Where the report goes.
        plot: ``png`` or ``svg``; ``None`` draws nothing.
    """

    report: Destination
    plot: Literal["png", "svg"] | None


def place(options: Mapping[str, Any]) -> Place:
    """Return where options send results.

    Raises:
        UsageError: The file has another format than was asked for, or one that evaluations lack.
        UserError: It cannot be written, or the library that draws is missing.
    """
    found = destination(options["out"], options["output"])
    if found.form not in _FORMS:
        raise click.UsageError(
            f"Evaluations are written as {' or '.join(_FORMS)}, not {found.form}; name the file "
            f"{Path(options['out']).stem}.json."
        )
    if options["plot"] is not None:
        require_library()
    if found.folder is not None:
        _make(found.folder)
    return Place(found, cast(Literal["png", "svg"] | None, options["plot"]))


def hand_out(found: Evaluation, where: Place, environment: Environment) -> None:
    """Print or write the report, draw the figure, and keep a folder's record.

    Raises:
        UserError: A file cannot be written.
    """
    kept = to_json(found, environment)
    if where.report.form == "json":
        where.report.report(kept)
    else:
        where.report.report(
            to_markdown(found, environment, terminal_width()), to_markdown(found, environment)
        )
    folder = where.report.folder
    if folder is not None and where.report.form != "json":
        record = write_file(folder / "report.json", f"{kept}\n".encode())
        note(f"wrote {record}")
    if where.plot is not None:
        from localfp4.evaluate.plots.write import write_figure

        beside = where.report.file.parent if where.report.file is not None else Path()
        path = (folder or beside) / f"{_FIGURE}.{where.plot}"
        note(f"wrote {write_figure(found, path, where.plot)}")


def _make(folder: Path) -> None:
    """Make a folder before hours of work, not after.

    Raises:
        UserError: It cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be made ({error.strerror}); choose another --out."
        ) from error
    require_writable(folder)
