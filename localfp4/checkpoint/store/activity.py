"""What the threads of a download do at the moment, in words for the progress line; stdlib only."""

from enum import Enum


class Doing(Enum):
    """What one file is at, with the words for it; the first of all that go on is told."""

    ARRIVING = "Downloading {}"
    PAUSING = "Connection lost, going on with {}"
    CHECKING = "Checking what is here of {}"
    WAITING = "Waiting for another program that downloads {}"


class Activity:
    """Written by the threads of a download, each for its own file, and read by another."""

    def __init__(self) -> None:
        self._doing: dict[str, Doing] = {}

    def begin(self, file: str, doing: Doing) -> None:
        """Note what a file is at."""
        self._doing[file] = doing

    def end(self, file: str) -> None:
        """Note that nothing is done for a file any more."""
        self._doing.pop(file, None)

    def in_words(self, model: str) -> str:
        """Return what the download of a model is at."""
        now = set(self._doing.copy().values())
        return next((doing for doing in Doing if doing in now), Doing.ARRIVING).value.format(model)
