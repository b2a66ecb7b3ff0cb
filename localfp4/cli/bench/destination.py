"""Where results go: to standard output, to a file, or into a folder; known before measuring."""

from dataclasses import dataclass
from pathlib import Path

import click

from localfp4.cli.report_file import require_writable, write_report

_FORM_OF = {
    ".md": "md",
    ".txt": "md",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".sql": "sql",
}
"""What the name of a file says about its format; every other name is a folder's."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go.

    Attributes:
        form: Format of the report.
        file: For the report alone.
        folder: For everything.
    """

    form: str
    file: Path | None = None
    folder: Path | None = None

    def report(self, shown: str, kept: str | None = None) -> None:
        """Print the report; write it where it belongs.

        Args:
            shown: As wide as the terminal.
            kept: As wide as files are, where that makes a difference.

        Raises:
            UserError: It cannot be written; it has been printed then.
        """
        kept = shown if kept is None else kept
        if self.folder is None:
            write_report(shown if self.file is None else kept, self.file)
            return
        click.echo(shown)
        # The folder's record is the same text, and has it already.
        if self.form != "jsonl":
            write_report(kept, self.folder / f"report.{self.form}")


def destination(out: Path | None, form: str | None) -> Destination:
    """Decide where results go.

    Args:
        out: A folder, or a file whose name says its format.
        form: Format that was asked for.

    Raises:
        UsageError: The file's name says another format.
        UserError: It cannot be written.
    """
    if out is None:
        return Destination(form or "md")
    said = _FORM_OF.get(out.suffix.lower())
    if said is None or out.is_dir():
        return Destination(form or "md", folder=out)
    if form is not None and form != said:
        raise click.UsageError(
            f"-o {form} and --out {out.name} say two formats; leave -o out, or name the file "
            f"{out.stem}.{form}."
        )
    require_writable(out)
    return Destination(said, file=out)
