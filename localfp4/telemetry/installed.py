"""What is installed, by metadata and files: to import torch takes seconds, where it can be at all."""

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """What torch was built as; ``None`` for what its files do not tell.

    Attributes:
        version: With its build, such as ``2.13.0+cu130``.
        cuda: Version of CUDA that it was built for.
    """

    version: str | None = None
    cuda: str | None = None


def version_of(distribution: str) -> str | None:
    """Return the version of a distribution, ``None`` where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def torch_build(torch: Distribution) -> TorchBuild:
    """Read ``version.py``, in which torch says what it was built as."""
    try:
        text = Path(str(torch.locate_file("torch/version.py"))).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return TorchBuild()
    named = re.search(r"^__version__\b.*= *'([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    return TorchBuild(named[1] if named else None, cuda[1] if cuda else None)
