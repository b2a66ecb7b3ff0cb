"""What the configuration file says, checked and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user wants of every start; the command line overrides it.

    Attributes:
        keys: Id of a binding to the keys that it has instead of its own, separated by commas.
        theme: Name of the colours, or ``None`` to go on with what was chosen last.
        system: A system prompt.
        thinking: Whether the model reasons before it answers; ``None`` leaves it to the model.
        reasoning_effort: How much it reasons, for models that can be told.
        model: What ``localfp4 chat`` talks to where no model is named.
        ephemeral: Whether conversations are not kept.
        sampling: Fields of :class:`~localfp4.config.SamplingParams` that the user has set.
        folders: Where models lie, beside the cache of the hub.
        aliases: Names of the user's own for models.
        engine: Options of the engine by their names on the command line, such as ``vram_limit``.
        server: Options of ``localfp4 serve``, likewise.
        path: The file this was read from; ``None`` for what comes without one.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    theme: str | None = None
    system: str | None = None
    thinking: bool | None = None
    reasoning_effort: str | None = None
    model: str | None = None
    ephemeral: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
