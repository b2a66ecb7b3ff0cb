"""Where the conversations of this user are kept."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localfp4.history import SqliteHistory


def history_path() -> Path:
    """Return the file of the history, whether or not it exists yet."""
    from platformdirs import user_data_path

    return user_data_path("localfp4", appauthor=False) / "history.db"


@contextmanager
def open_history() -> Iterator["SqliteHistory"]:
    """Open the history for the time of a block.

    Raises:
        UserError: It cannot be written.
    """
    from localfp4.history import SqliteHistory

    with closing(SqliteHistory.open(history_path())) as history:
        yield history
