"""What a server said, made fit for a sentence."""

import json
from typing import Any

_MOST = 200
"""Longest excerpt of a server's text in a message, in characters."""


def one_line(text: object) -> str:
    """Return a text without control, escape or bidirectional characters, in one line, cut short."""
    line = " ".join(str(text).split())
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return clean if len(clean) <= _MOST else f"{clean[: _MOST - 1]}…"


def quoted(body: bytes) -> str:
    """Return the message in an error's body, with a colon before; empty where there is none."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = "" if text.startswith("<") else text
    message = one_line(message_in(found)).rstrip(".")
    return f": {message}" if message else ""


def message_in(found: Any) -> str:
    """Return the message of an error object, however a server builds it."""
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            return message_in(found[name])
    return found if isinstance(found, str) else json.dumps(found) if found else ""
