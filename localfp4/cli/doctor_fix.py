"""``localfp4 doctor --fix``: runs what mends something, after asking, and looks again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import click

from localfp4.cli.failure import complain
from localfp4.doctor.checks.everything import all_findings
from localfp4.doctor.facts import Facts, SystemFacts
from localfp4.doctor.finding import Area, Command, Finding, Remedy
from localfp4.doctor.remedies.shell import written
from localfp4.doctor.report import by_areas, outcome, safe_remedy
from localfp4.doctor.style import Style
from localfp4.errors import RequestError


def mend(
    facts: Facts,
    findings: tuple[Finding, ...],
    look: Callable[[], Facts],
    *,
    style: Style,
    width: int,
    asks: bool,
) -> tuple[Finding, ...]:
    """Run the safe remedies of findings one by one, and look at the computer again.

    Args:
        facts: The computer.
        findings: What was found, and has been told.
        look: Gathers facts anew.
        style: Marks and colours.
        width: Columns.
        asks: Whether each remedy is asked about first.

    Returns:
        What is to say of the computer after the last remedy.

    Raises:
        RequestError: This program runs as administrator.
    """
    _refuse_administrator(facts.system)
    tried: set[tuple[Command, ...]] = set()
    while (remedy := _next(findings, tried)) is not None:
        tried.add(remedy.commands)
        if not _agreed(remedy, facts, style, asks=asks):
            continue
        area = _area(findings, remedy)
        if _run(remedy.commands):
            findings = all_findings(look())
            told = tuple(finding for finding in findings if finding.area == area)
            lines = by_areas(told, facts.system.kind, style, width)
            click.echo("\n".join(["", *lines, "", *outcome(findings, style, width)]))
    if not tried:
        click.echo("\nThere is nothing that --fix may run; what is told above is for you to do.")
    return findings


def _next(findings: tuple[Finding, ...], tried: set[tuple[Command, ...]]) -> Remedy | None:
    """Return the first safe remedy whose commands were not tried."""
    remedies = filter(None, map(safe_remedy, findings))
    return next((remedy for remedy in remedies if remedy.commands not in tried), None)


def _area(findings: tuple[Finding, ...], remedy: Remedy) -> Area:
    return next(finding.area for finding in findings if remedy in finding.remedies)


def _agreed(remedy: Remedy, facts: Facts, style: Style, *, asks: bool) -> bool:
    """Show a remedy and ask whether to run it."""
    click.echo(f"\n{remedy.words}")
    for command in remedy.commands:
        click.echo(f"  {style.command(written(command, facts.system.kind))}")
    return not asks or click.confirm("Run this?", default=False)


def _run(commands: tuple[Command, ...]) -> bool:
    """Run commands one after the other, and say whether all ended well."""
    for command in commands:
        # Windows starts conda, a batch file, only by its whole path.
        program = shutil.which(command[0]) or command[0]
        try:
            code = subprocess.run([program, *command[1:]], check=False).returncode
        except OSError as error:
            complain(f"{command[0]} cannot be started: {error.strerror or error}.")
            return False
        if code:
            complain(f"{command[0]} ended with exit code {code}; nothing more of this is run.")
            return False
    return True


def _refuse_administrator(system: SystemFacts) -> None:
    """Refuse to change an environment with rights that its owner lacks.

    Raises:
        RequestError: This program runs as administrator, and not in a container, where that is
            the usual user.
    """
    if not system.container and _is_administrator():
        raise RequestError(
            "--fix does not run as administrator, whose files you could not change later; "
            "run it as yourself."
        )


def _is_administrator() -> bool:
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    else:
        return os.geteuid() == 0
