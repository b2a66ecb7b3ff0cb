"""Conversations kept on this computer; stdlib only.

Knows nothing of where users keep their data, of screens or of engines.
"""

from localfp4.history.sqlite import SqliteHistory
from localfp4.history.turns import Match, SavedConversation, Summary, Turn

__all__ = ["Match", "SavedConversation", "SqliteHistory", "Summary", "Turn"]
