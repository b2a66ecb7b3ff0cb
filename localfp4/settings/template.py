"""A configuration file that says nothing yet: every setting, explained and switched off."""

import json
from typing import Any

from localfp4.settings.catalog import SECTIONS, SETTINGS, Setting

_HEADING = """\
# Settings of localfp4. Take away the # before a line to set it; the command line overrides all.
# `localfp4 config` lists what holds now.
"""

_OF_THE_USERS_OWN = {
    "keys": ['# Keys of the chat by the id of what they do, such as: chat.new = "ctrl+b"'],
    "aliases": ['# Names of your own for models, such as: mine = "D:/models/my-model"'],
}

_EXAMPLES: dict[str, Any] = {
    "chat.theme": "dark",
    "chat.system": "Be brief.",
    "chat.reasoning_effort": "low",
    "chat.model": "qwen3:8b",
    "sampling.temperature": 0.7,
    "sampling.top_p": 0.95,
    "sampling.top_k": 40,
    "sampling.min_p": 0.05,
    "sampling.repetition_penalty": 1.05,
    "sampling.presence_penalty": 0.5,
    "sampling.frequency_penalty": 0.5,
    "sampling.max_tokens": 4096,
    "sampling.seed": 1,
    "models.folders": ["D:/models"],
    "engine.draft": "qwen3:0.6b",
    "server.allowed_hosts": ["my-pc"],
    "server.cors_origins": ["http://localhost:3000"],
}
"""Where a default would not show what a value looks like."""


def template() -> str:
    """Return the text of a file that changes nothing."""
    parts = [_HEADING]
    for section in SECTIONS:
        lines = [f"[{section}]", *_OF_THE_USERS_OWN.get(section, [])]
        for setting in SETTINGS:
            if setting.section == section:
                lines += [f"# {setting.help}", f"# {setting.name} = {_value(setting)}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _value(setting: Setting) -> str:
    """Return a value as TOML has it, which for these kinds is as JSON has it."""
    return json.dumps(_EXAMPLES.get(setting.key, setting.default))
