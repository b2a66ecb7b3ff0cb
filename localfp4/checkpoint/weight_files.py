"""Which files hold a checkpoint's tensors, in a folder or known by their headers; torch-free.

Knows file names, the index and headers. Knows nothing of what the tensors mean.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from localfp4.checkpoint.display import listed, shown
from localfp4.checkpoint.headers import Header, read_header
from localfp4.checkpoint.json_files import inside, read_object
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError, UnsupportedModelError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
WEIGHTS = ".safetensors"

_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors", re.ASCII)
_OTHER_WEIGHTS = ("*.gguf", "*.bin", "*.pt", "*.pth", "*.ckpt")

Found = tuple[dict[str, TensorInfo], dict[str, str]]
"""Tensors, and metadata of the files that hold them."""


class WeightFiles(Protocol):
    """The weight files of a model, wherever they are."""

    @property
    def folder(self) -> Path:
        """Where the model's small files lie."""

    def names(self) -> Collection[str]:
        """Return the names of the safetensors files."""

    def header(self, name: str) -> Header:
        """Return the checked header of one of them."""


class FilesInFolder:
    """Weight files that lie beside the config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> Collection[str]:
        """Return the names of the safetensors files."""
        return {path.name for path in self.folder.glob(f"*{WEIGHTS}") if path.exists()}

    def header(self, name: str) -> Header:
        """Read the header of one of them."""
        return read_header(inside(self.folder, name))


class FilesOfOutline:
    """Weight files of which only the headers are here."""

    def __init__(self, outline: Outline) -> None:
        self.folder = outline.folder
        self._headers = outline.headers

    def names(self) -> Collection[str]:
        """Return the names of the safetensors files."""
        return self._headers.keys()

    def header(self, name: str) -> Header:
        """Return the header of one of them."""
        return self._headers[name]


def find_tensors(files: WeightFiles) -> Found:
    """Return the tensors of all files that make up a checkpoint.

    Raises:
        CheckpointError: A file is missing, damaged, unreadable, or contradicts another.
        UnsupportedModelError: The weights are not in safetensors files.
    """
    used = used_files(files.folder, files.names())
    headers = {name: files.header(name) for name in used.names}
    if used.weight_map is None:
        tensors = {name: info for one in headers.values() for name, info in one.tensors.items()}
    else:
        tensors = _indexed(files.folder, used.weight_map, headers)
    metadata = {key: text for one in headers.values() for key, text in one.metadata.items()}
    return tensors, metadata


@dataclass(frozen=True, slots=True)
class UsedFiles:
    """The weight files that make up a checkpoint.

    Attributes:
        names: Of them, sorted.
        weight_map: Which file holds which tensor; ``None`` where there is one file only.
    """

    names: list[str]
    weight_map: Mapping[str, str] | None = None


def used_files(folder: Path, names: Collection[str]) -> UsedFiles:
    """Return which weight files make up a checkpoint, and which tensors are theirs.

    Args:
        folder: Where its index lies, if it has one.
        names: The safetensors files that there are.

    Raises:
        CheckpointError: A file is missing, or nobody says how several belong together.
        UnsupportedModelError: The weights are not in safetensors files.
    """
    if SINGLE_FILE in names:
        return UsedFiles([SINGLE_FILE])
    index = read_object(folder, INDEX_FILE)
    if index is not None:
        return _indexed_files(folder, names, index)
    if len(names) == 1:
        return UsedFiles(list(names))
    if names:
        raise CheckpointError(
            f"{shown(folder)} has {len(names)} safetensors files but no {INDEX_FILE}; "
            "download it again."
        )
    raise _no_safetensors(folder)


def _indexed_files(folder: Path, names: Collection[str], index: Mapping[str, Any]) -> UsedFiles:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{shown(folder / INDEX_FILE)} has no weight_map; download it again.")
    used = sorted({_checked_shard_name(folder, name) for name in weight_map.values()})
    missing = [name for name in used if name not in names]
    if missing:
        raise CheckpointError(
            f"{shown(folder)} lacks {listed(missing)} of {len(used)} weight files; "
            "download it again."
        )
    return UsedFiles(used, weight_map)


def _indexed(
    folder: Path, weight_map: Mapping[str, str], headers: Mapping[str, Header]
) -> dict[str, TensorInfo]:
    absent = sorted(
        tensor for tensor, file in weight_map.items() if tensor not in headers[file].tensors
    )
    if absent:
        raise CheckpointError(
            f"{shown(folder / INDEX_FILE)} promises tensors that its files do not have: "
            f"{listed(absent)}; download it again."
        )
    return {tensor: headers[file].tensors[tensor] for tensor, file in weight_map.items()}


def weight_names(names: Iterable[str]) -> set[str]:
    """Return the names among a repository's files that can be those of weight files."""
    return {name for name in names if is_plain_name(name)}


def is_plain_name(name: object) -> TypeGuard[str]:
    """Say whether a name is that of a safetensors file of the same folder, on every system."""
    return isinstance(name, str) and _SHARD_NAME.fullmatch(name) is not None


def _checked_shard_name(folder: Path, name: object) -> str:
    """Accept plain file names only: an index must not reach outside its folder."""
    if not is_plain_name(name):
        raise CheckpointError(
            f"{shown(folder / INDEX_FILE)} names {shown(name)!r}, "
            "which is not a safetensors file of this folder; do not trust this checkpoint."
        )
    return name


def _no_safetensors(folder: Path) -> CheckpointError | UnsupportedModelError:
    others = [path.name for pattern in _OTHER_WEIGHTS for path in sorted(folder.glob(pattern))]
    if others:
        return UnsupportedModelError(
            f"{shown(folder)} keeps its weights in {listed(others)}, and localfp4 reads only "
            "safetensors; pick a safetensors version of the model."
        )
    return CheckpointError(f"{shown(folder)} has no weights: no {SINGLE_FILE} and no {INDEX_FILE}.")
