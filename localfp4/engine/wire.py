"""An engine process's end of the pipe to its front end."""

from localfp4.engine.children import Pipe
from localfp4.engine.protocol import Command, Report


class FrontEndGoneError(Exception):
    """The other end of the pipe closed."""


class Wire:
    """The process's end of the pipe; a closed pipe is :class:`FrontEndGoneError`.

    One thread may send while another receives.
    """

    def __init__(self, connection: Pipe) -> None:
        self._connection = connection

    def send(self, report: Report) -> None:
        """Send one report."""
        try:
            self._connection.send(report)
        except OSError as error:
            raise FrontEndGoneError from error

    def receive(self) -> Command:
        """Wait for the next command."""
        try:
            command: Command = self._connection.recv()
        except (EOFError, OSError) as error:
            raise FrontEndGoneError from error
        return command
