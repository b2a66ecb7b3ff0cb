"""Short names for models that people ask for, and which repositories they stand for; stdlib only.

What they are stands in ``aliases.toml``. Knows how short names are spelled, Ollama's tags included;
knows nothing of folders, of the hub, or of what is on this computer.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from localfp4.checkpoint.names.spelling import nearest, squashed

_TABLE = Path(__file__).with_name("aliases.toml")

_TAG = re.compile(
    r"[-_: ](latest|instruct|chat|it|qat|nvfp4|mxfp4|fp4|int4|4-?bit|w4a16|awq|gptq"
    r"|(ud-)?i?q[2-6](_[0-9a-z]+)*|gguf|mlx|dwq|exl[23])$"
)
"""What names end in that says how weights are stored in about 4 bits, or nothing of note."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name and what it stands for.

    Attributes:
        name: The short name, in lower case: family, colon, size.
        repo_id: ``org/name`` on the hub.
        size_bytes: Of the download, or ``None`` where that is not known.
        weights: How most of its weights are stored, such as ``NVFP4``.
        is_default: Whether the bare name of its family means it.
        also: Other names of the same.
        source: Where the repository was seen.
        checked: When.
    """

    name: str
    repo_id: str
    size_bytes: int | None = None
    weights: str = ""
    is_default: bool = False
    also: tuple[str, ...] = ()
    source: str = ""
    checked: date | None = None

    @property
    def family(self) -> str:
        """What stands before the colon."""
        return self.name.partition(":")[0]


def _alias(row: dict[str, Any]) -> Alias:
    return Alias(
        name=row["name"],
        repo_id=row["repo"],
        size_bytes=row.get("size"),
        weights=row["weights"],
        is_default=row.get("default", False),
        also=tuple(row.get("also", ())),
        source=row["source"],
        checked=row["checked"],
    )


ALIASES = tuple(_alias(row) for row in tomllib.loads(_TABLE.read_text(encoding="utf-8"))["model"])
"""All of them, families together, the smallest of a family first."""


def _spellings() -> Iterator[tuple[str, Alias]]:
    for alias in ALIASES:
        for name in (alias.name, *alias.also):
            yield squashed(name), alias


_BY_SPELLING = dict(_spellings())
_BY_FAMILY = {squashed(alias.family): alias for alias in ALIASES if alias.is_default}
_BY_REPO = {alias.repo_id.lower(): alias for alias in ALIASES}


def alias_named(name: str) -> Alias | None:
    """Return what a short name stands for, however it is spelled.

    Case and separators do not matter, nor does what says that weights have about 4 bits; the bare
    name of a family means its default.
    """
    while True:
        key = squashed(name)
        if found := _BY_SPELLING.get(key) or _BY_FAMILY.get(key):
            return found
        shorter = _TAG.sub("", name.lower())
        if shorter == name.lower():
            return None
        name = shorter


def is_spelled_out(name: str) -> bool:
    """Say whether a short name names a model itself, not just its family or another version."""
    return squashed(name) in _BY_SPELLING


def alias_of(repo_id: str) -> Alias | None:
    """Return the short name of a repository, if it has one."""
    return _BY_REPO.get(repo_id.lower())


def alias_within(name: str) -> Alias | None:
    """Return the short name of the model that a longer name is about.

    ``unsloth/Qwen3-8B-128K-GGUF`` is about ``qwen3:8b``.
    """
    tail = name.rpartition("/")[2]
    if whole := alias_named(tail):
        return whole
    text = squashed(tail)
    within = [key for key in _BY_SPELLING if key in text]
    return _BY_SPELLING[max(within, key=len)] if within else None


def similar_alias(name: str) -> str | None:
    """Return the short name that was probably meant."""
    begun = [key for key in _BY_SPELLING if key.startswith(squashed(name))] if name else []
    if begun and ":" in name:
        return _BY_SPELLING[begun[0]].name
    close = nearest(name, [known for alias in ALIASES for known in (alias.name, alias.repo_id)])
    if close is not None:
        return alias.name if (alias := alias_of(close)) else close
    about = alias_within(name)
    return about.name if about else None


def sizes_of(name: str) -> tuple[str, ...]:
    """Return the short names of the family that stands before the colon of a name, if it is one."""
    family = squashed(name.partition(":")[0])
    return tuple(alias.name for alias in ALIASES if squashed(alias.family) == family)
