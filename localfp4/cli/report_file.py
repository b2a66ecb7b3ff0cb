"""Where a report goes: to stdout, or to a file that is known to be writable before it is made."""

import os
from pathlib import Path

import click

from localfp4.errors import UserError
from localfp4.text.sanitize import sanitize


def require_writable(out: Path | None) -> None:
    """Refuse before minutes of measuring, not after.

    Raises:
        UserError: The file cannot be written.
    """
    if out is None:
        return
    target = out if out.exists() else out.parent
    if not out.parent.is_dir():
        raise UserError(f"There is no folder {out.parent} to write {out.name} to; create it first.")
    if not os.access(target, os.W_OK):
        raise UserError(f"{target} may not be written to; choose another --out.")


def write_report(report: str, out: Path | None) -> None:
    """Print a report, or write it to a file.

    Raises:
        UserError: The file cannot be written; the report has been printed then.
    """
    if out is None:
        click.echo(report)
        return
    was_there = out.exists()
    try:
        out.write_text(report + "\n", encoding="utf-8")
    except OSError as error:
        if not was_there:
            out.unlink(missing_ok=True)  # half a report
        click.echo(report)
        raise UserError(f"Writing {out} failed ({error.strerror}); the report is above.") from error
    note(f"wrote {out}")


def note(text: str) -> None:
    """Tell progress on stderr, so that stdout is the report alone."""
    click.echo(sanitize(text), err=True)
