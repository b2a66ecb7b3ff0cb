"""What a server logs, on standard error."""

import logging

from localfp4.text.sanitize import sanitize


class _Harmless(logging.Formatter):
    """Takes out what could steer a terminal: clients choose parts of what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        return sanitize(super().format(record))


def log_to_standard_error() -> None:
    """Show warnings and errors of the server, with the time."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)  # more than that may be logged to a file
    handler.setFormatter(_Harmless("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
