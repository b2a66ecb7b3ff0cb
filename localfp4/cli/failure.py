"""How commands end: every way to fail becomes one sentence and an exit code.

0 done, 1 a bug or a closed output, 2 something the user can mend, 130 Ctrl-C.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import TextIO

import click

from localfp4.cli import EXIT_INTERRUPTED
from localfp4.engine.faults import device_lost, is_device_lost
from localfp4.errors import UserError


def exit_code(command: Callable[[], int | None]) -> int:
    """Run a command; tell what went wrong on standard error and return the exit code."""
    _make_streams_forgiving()
    try:
        code = command()
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except UserError as error:
        complain(str(error))
        for note in getattr(error, "__notes__", ()):
            remark(note)
        return 2
    except click.ClickException as error:
        complain(_usage_sentence(error))
        return 2
    except BrokenPipeError:
        _discard_output()
        return 1
    except OSError as error:
        if _is_closed_output(error):
            _discard_output()
            return 1
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _report_bug(error)
        _discard_output()
        complain("The disk is full; free some space and run the command again.")
        return 2
    except Exception as error:  # noqa: BLE001 - the last resort, and it is reported
        if is_device_lost(error):
            complain(device_lost(error))
            return 2
        return _report_bug(error)
    return code or 0


def complain(sentence: str) -> None:
    """Tell the user on standard error what is wrong."""
    from localfp4.text.sanitize import sanitize

    click.echo(f"{_mark(sys.stderr)} {sanitize(sentence)}", err=True)


def remark(sentence: str) -> None:
    """Tell the user on standard error what is worth knowing."""
    from localfp4.text.sanitize import sanitize

    click.echo(f"note: {sanitize(sentence)}", err=True)


def _mark(stream: TextIO) -> str:
    try:
        "✗".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return "error:"
    return "✗"


def _usage_sentence(error: click.ClickException) -> str:
    sentence = error.format_message()
    if not sentence.endswith((".", "?")):
        sentence += "."
    context = getattr(error, "ctx", None)
    return f"{sentence} See '{context.command_path} --help'." if context else sentence


def _make_streams_forgiving() -> None:
    """Show a question mark instead of failing where a console lacks a character."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _is_closed_output(error: OSError) -> bool:
    """Say whether nobody reads the output any more: on Windows, a closed pipe takes no argument.

    Python's own subprocess reads it so, too (github.com/python/cpython/issues/63811).
    """
    is_nameless = error.errno == errno.EINVAL and error.filename is None
    return is_nameless and sys.platform == "win32" and not sys.stdout.isatty()


def _discard_output() -> None:
    """Point standard output nowhere, so that flushing it at exit does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_bug(error: Exception) -> int:
    from localfp4.cli.bug_report import render, write_report

    if os.environ.get("LOCALFP4_DEBUG") == "1":
        click.echo(render(error), err=True, nl=False)
    path = write_report(error)
    name = type(error).__name__
    complain(f"localfp4 hit a bug ({name}); please report it with the traceback in {path}.")
    return 1
