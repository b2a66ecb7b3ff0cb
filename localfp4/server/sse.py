"""Server-sent events."""

import json
from collections.abc import Mapping
from typing import Any


def named_event(data: Mapping[str, Any]) -> bytes:
    """Return an event that bears the name of its data's ``type``."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode()
