"""Starts a log of this process: what it does, and what the libraries do that it talks to the hub with."""

import logging
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from localfp4.errors import UserError
from localfp4.logs.files import process_log_file
from localfp4.logs.redaction import redacted, secrets_in

_MOST_BYTES = 8 * 2**20
_LEVELS = {
    "localfp4": logging.DEBUG,
    "localfp4_kernels": logging.DEBUG,
    "localfp4_tui": logging.DEBUG,
    "huggingface_hub": logging.DEBUG,
    "httpx": logging.INFO,
    "httpx2": logging.INFO,
    "uvicorn.error": logging.INFO,
}
_LINE = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class HarmlessFormatter(logging.Formatter):
    """Writes a record without secrets and without what could steer a terminal."""

    def __init__(self, form: str, secrets: Collection[str]) -> None:
        super().__init__(form, "%H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record; all but the first are indented, so that none is forged."""
        text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", super().format(record))
        return redacted(text, self._secrets).replace("\n", "\n    ")


@contextmanager
def start_logging(path: Path) -> Iterator[None]:
    """Write the log of this process to a file of the user's own for the time of a block.

    Two files of that size are kept at most. Warnings still reach standard error.

    Raises:
        UserError: The file cannot be written.
    """
    handler = _private_file(path)
    secrets = secrets_in(os.environ)
    handler.setFormatter(HarmlessFormatter(_LINE, secrets))
    warnings = _StandardError(logging.WARNING)
    warnings.setFormatter(HarmlessFormatter("%(levelname)s %(message)s", secrets))
    root = logging.getLogger()
    is_silent = not root.handlers  # logging would write warnings nowhere but to the file
    if is_silent:
        root.addHandler(warnings)
    _keep_the_hub_quiet()
    loggers = [logging.getLogger(name) for name in _LEVELS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_LEVELS[logger.name])
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        if is_silent:
            root.removeHandler(warnings)
        with suppress(OSError):  # a full disk takes no last line
            handler.close()


@contextmanager
def logging_beside(command_log: str | None, role: str) -> Iterator[None]:
    """Write the log of this process beside that of the command that started it, for a block.

    Where that cannot be, the block runs without.

    Args:
        command_log: The file that the command writes; ``None`` where it writes none.
        role: What this process is for, such as ``engine``.
    """
    with ExitStack() as until_the_end:
        if command_log is not None:
            with suppress(UserError):
                log = process_log_file(Path(command_log), role)
                until_the_end.enter_context(start_logging(log))
        yield


class _StandardError(logging.Handler):
    """Whatever is standard error when a record comes: a full-screen chat puts another there."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{self.format(record)}\n")


class _PrivateFile(RotatingFileHandler):
    """A file that only its owner reads; where it cannot be written any more, the program goes on."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return TextIOWrapper(FileIO(descriptor, "a"), encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: the disk may be full, which what is logged will tell by itself."""


def _private_file(path: Path) -> _PrivateFile:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _PrivateFile(
            path, maxBytes=_MOST_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace"
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The log {path} cannot be written ({reason}); mend that, or leave --verbose out."
        ) from error


def _keep_the_hub_quiet() -> None:
    """Have huggingface_hub, which sets itself up when imported, print no more than before."""
    try:
        import huggingface_hub.utils.logging  # noqa: F401
    except ImportError:
        return
    logger = logging.getLogger("huggingface_hub")
    for handler in logger.handlers:
        handler.setLevel(max(handler.level, logger.level))
