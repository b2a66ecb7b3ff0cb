"""Conversations into files of the user's; no widgets."""

import re
from itertools import count
from os.path import expanduser, isdir
from pathlib import Path
from typing import Literal

from localfp4.errors import RequestError, UserError
from localfp4.history import SavedConversation
from localfp4.history.export import as_json, as_markdown, write_new

Format = Literal["md", "json"]

LONGEST_NAME = 60


def parse_export(text: str) -> tuple[Format, Path | None]:
    """Read what follows ``/export``: a format, a path, or both; Markdown unless told otherwise."""
    first, _, rest = text.strip().partition(" ")
    named: Format | None = "json" if first == "json" else "md" if first == "md" else None
    where = text.strip() if named is None else rest.strip()
    path = Path(expanduser(where)) if where else None
    if named is None:
        named = "json" if path is not None and path.suffix.lower() == ".json" else "md"
    return named, path


def export(conversation: SavedConversation, format_: Format, path: Path | None) -> Path:
    """Write a conversation to a new file and return where it is.

    Args:
        conversation: What to write.
        format_: ``md`` has the branch on the screen, ``json`` all there is.
        path: A file that is not there yet, or a folder; ``None`` is the current folder. Files in
            folders are named after the conversation.

    Raises:
        UserError: There is such a file already, or it cannot be written.
    """
    if not conversation.turns:
        raise RequestError("There is nothing to export yet.")
    path = path or Path()
    if isdir(path):
        path = _free_name(path, conversation.title, format_)
    text = as_markdown(conversation) if format_ == "md" else as_json(conversation)
    try:
        write_new(path, text)
    except FileExistsError:
        raise RequestError(f"{path} is there already; name another file.") from None
    except (OSError, ValueError) as error:  # a ValueError is about the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written ({reason}); name another file.") from error
    return path


def _free_name(folder: Path, title: str, format_: Format) -> Path:
    words = re.sub(r"[\W_]+", "-", title.lower()).strip("-")[:LONGEST_NAME].strip("-")
    stem = f"chat-{words}" if words else "chat"
    names = (f"{stem}-{number}" if number > 1 else stem for number in count(1))
    paths = (folder / f"{name}.{format_}" for name in names)
    return next(path for path in paths if not path.exists())
