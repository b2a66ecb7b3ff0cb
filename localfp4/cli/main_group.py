"""What holds for every command: ``--verbose`` before or after it, and how its end is told."""

import logging
from typing import Any

import click

from localfp4.cli.from_settings import explain
from localfp4.cli.lazy import LazyGroup
from localfp4.cli.verbose import logged_end, verbose_option
from localfp4.errors import UserError

_log = logging.getLogger(__name__)


class MainGroup(LazyGroup):
    """The command ``localfp4``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(verbose_option())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, which takes ``--verbose`` as well."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _log.info("command %s", cmd_name)
            _add_verbose(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named; its end is logged, also where it fails."""
        with logged_end():
            try:
                return super().invoke(ctx)
            except UserError as error:
                explain(error, ctx)
                raise


def _add_verbose(command: click.Command) -> None:
    """Add the option to a command and those within it, once: a process may run it several times."""
    if not any("--verbose" in param.opts for param in command.params):
        command.params.append(verbose_option())
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _add_verbose(inner)
