"""A terminal that may send anything, on systems with terminal devices.

Textual decodes strictly, and a paste of binary data ends its programs with a traceback.
"""

import os
import selectors
from codecs import getincrementaldecoder
from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

READ_BYTES = 4096
WAIT_S = 0.1


class TolerantDriver(LinuxDriver):
    """Hands on bytes that are no UTF-8 as U+FFFD, by which binary data in a paste is known."""

    def run_input_thread(self) -> None:
        """Read until the program ends."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(WAIT_S) and (text := decode(os.read(self.fileno, READ_BYTES))):
                    self._hand_on(parser.feed(text))
                self._hand_on(parser.tick())

    def _hand_on(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.process_message(message)
