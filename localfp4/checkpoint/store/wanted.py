"""Which model of the hub is meant, and which of its files are wanted; stdlib only."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

WANTED = ("*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model")
"""Data only: no pickles, no code."""

UNWANTED = ("*/*", "consolidated*.safetensors")
"""Sub-folders hold other formats of the same weights, and so do Mistral's consolidated files."""

_WEIGHTS = ".safetensors"
_COMMIT = re.compile("[0-9a-f]{40}")
_PLAIN_NAME = re.compile(r"\w[\w.+ -]*")
"""What may become the name of a file here; a list of files comes from the network."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository on the hub; ``revision`` is a branch, tag or commit."""

    repo_id: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """The id as the user wrote it."""
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


def is_commit(revision: str) -> bool:
    """Say whether a revision is a commit, which never means another version later."""
    return _COMMIT.fullmatch(revision) is not None


def is_wanted(name: str) -> bool:
    """Say whether localfp4 reads a file of this name, in any model."""
    return (
        _PLAIN_NAME.fullmatch(name) is not None
        and any(fnmatchcase(name, pattern) for pattern in WANTED)
        and not any(fnmatchcase(name, pattern) for pattern in UNWANTED)
    )


def is_weights(name: str) -> bool:
    """Say whether a file holds weights."""
    return name.endswith(_WEIGHTS)
