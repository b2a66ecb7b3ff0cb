"""Answers a shell that completes a command line: no word on standard error, whatever happens."""

import io
from contextlib import redirect_stderr, suppress

import click

from localfp4.cli.completing import VARIABLE
from localfp4.cli.completing.shells import SHELLS


def answer(commands: click.Group, instruction: str, program: str) -> None:
    """Print what may stand at the end of the command line in the environment.

    Args:
        commands: All commands.
        instruction: The shell, and what it asks, as its script has it.
        program: What the commands are called by.
    """
    shell = instruction.partition("_")[0]
    with redirect_stderr(io.StringIO()), suppress(Exception):  # half a line may mean anything
        found = SHELLS[shell](commands, {}, program, VARIABLE).complete()
        click.echo(found.encode("utf-8", "replace"))


def script(commands: click.Group, shell: str, program: str) -> str:
    """Return the script that makes a shell ask."""
    return SHELLS[shell](commands, {}, program, VARIABLE).source()
