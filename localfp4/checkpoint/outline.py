"""A model of the hub of which only configs and headers are here; torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localfp4.checkpoint.headers import Header


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be known of a model before its weights are downloaded.

    Attributes:
        name: As the user calls it.
        folder: With its ``config.json`` and other small files.
        headers: Of each of its weight files, by file name; ``Header.file`` need not exist.
        download_bytes: What is yet to be downloaded of the files that localfp4 reads.
    """

    name: str
    folder: Path
    headers: Mapping[str, Header]
    download_bytes: int
