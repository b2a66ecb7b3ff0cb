"""``--verbose``: what a command does is written to a log file, which is named on standard error."""

import logging
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from localfp4 import __version__
from localfp4.errors import UserError

_LOG_FILE = "localfp4.log_file"
_OPTION = re.compile(r"(--?[a-z][a-z-]*)(?:=.*)?", re.ASCII | re.DOTALL)

_log = logging.getLogger(__name__)


def verbose_option() -> click.Option:
    """Return the option that starts the log."""
    return click.Option(
        ["--verbose"],
        is_flag=True,
        is_eager=True,  # so that reading other options is logged
        expose_value=False,
        callback=_start,
        help="Write what happens to a log file.",
    )


def log_file() -> str | None:
    """Return where the command that runs writes its log; ``None`` where it writes none."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_LOG_FILE)


@contextmanager
def logged_end() -> Iterator[None]:
    """Log how a block ends that is a command."""
    try:
        yield
    except click.exceptions.Exit as end:
        _log.info("ends with exit code %d", end.exit_code)
        raise
    except (UserError, click.ClickException) as error:
        if _log.isEnabledFor(logging.INFO):
            from localfp4.logs import in_one_line

            _log.info("refused: %s", in_one_line(error))
        raise
    except BaseException as error:
        _log.info("broken off by %s", type(error).__name__, exc_info=True)
        raise
    _log.info("done")


def _start(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing or _LOG_FILE in ctx.meta:
        return
    from localfp4.cli.failure import remark
    from localfp4.logs import log_folder, new_log_file, start_logging

    path = new_log_file(log_folder())
    ctx.find_root().with_resource(start_logging(path))
    ctx.meta[_LOG_FILE] = str(path)
    remark(f"what happens is written to {path}")
    _log.info(
        "localfp4 %s, Python %s on %s, process %d: %s",
        __version__,
        platform.python_version(),
        platform.platform(),
        os.getpid(),
        " ".join([ctx.command_path, *option_names(sys.argv[1:])]),
    )
    _log_variables()


def option_names(arguments: Sequence[str]) -> list[str]:
    """Return which options were typed; their values, and prompts, are nobody else's business."""
    options = [found[1] for argument in arguments if (found := _OPTION.fullmatch(argument))]
    return list(dict.fromkeys(options))


def _log_variables() -> None:
    from localfp4.settings.variables import VARIABLES

    for variable in VARIABLES:
        if (value := variable.shown(os.environ)) is not None:
            _log.info("variable %s is %s", variable.name, value)
