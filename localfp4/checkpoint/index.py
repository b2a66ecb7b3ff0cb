"""Which files make up a checkpoint and what its JSON files say; torch-free, reads no tensor.

Knows file names and headers. Knows nothing of tensor formats (``kinds``) or of architectures.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.display import listed, shown
from localfp4.checkpoint.headers import Header, TensorInfo, read_header
from localfp4.errors import CheckpointError, UnsupportedModelError
from localfp4.text.files import language_model_settings

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_JSON_BYTES = 64 * 1024 * 1024

_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors", re.ASCII)
_OTHER_WEIGHTS = ("*.gguf", "*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk, every header checked and no tensor read.

    Attributes:
        folder: Where it lies.
        config: ``config.json``.
        generation_config: ``generation_config.json``; empty where there is none.
        quant_config: The quantisation part of ``config.json``, else that of
            ``hf_quant_config.json`` in the same shape (``quant_method`` is ``modelopt`` then).
        tensors: Every tensor by name.
        metadata: What the headers say besides, such as torchao's descriptions of its tensors.
    """

    folder: Path
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    quant_config: Mapping[str, Any] | None
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        """Size of all tensors in the files."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_checkpoint(folder: Path) -> Checkpoint:
    """Find the files of a checkpoint, and check their headers against each other.

    Raises:
        CheckpointError: A file is missing, damaged, unreadable, or contradicts another.
        UnsupportedModelError: The weights are not in safetensors files.
    """
    try:
        return _opened(folder)
    except OSError as error:
        raise CheckpointError(
            f"{shown(error.filename or folder)} cannot be read: {shown(error.strerror or error)}."
        ) from error


def _opened(folder: Path) -> Checkpoint:
    config = _read_object(folder, "config.json")
    if config is None:
        raise CheckpointError(f"{shown(folder)} has no config.json, so it is not a model folder.")
    tensors, metadata = _find_tensors(folder)
    return Checkpoint(
        folder=folder,
        config=config,
        generation_config=_read_object(folder, "generation_config.json") or {},
        quant_config=quant_config(folder, config),
        tensors=MappingProxyType(tensors),
        metadata=MappingProxyType(metadata),
    )


def quant_config(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what an exporter says of a quantised checkpoint; ``None`` where nobody says anything.

    Args:
        folder: Where it is; ModelOpt writes a file of its own.
        config: Its ``config.json``.

    Raises:
        CheckpointError: A file cannot be read.
    """
    holders = [config, language_model_settings(config) or {}]
    for key in ("quantization_config", "compression_config"):
        for holder in holders:
            if isinstance(found := holder.get(key), dict):
                return found
    exported = _read_object(folder, "hf_quant_config.json") or {}
    quantization = exported.get("quantization")
    return {"quant_method": "modelopt", **quantization} if isinstance(quantization, dict) else None


_Found = tuple[dict[str, TensorInfo], dict[str, str]]
"""Tensors, and metadata of the files that hold them."""


def _find_tensors(folder: Path) -> _Found:
    if (folder / SINGLE_FILE).exists():
        return _single_file(folder, SINGLE_FILE)
    index = _read_object(folder, INDEX_FILE)
    if index is not None:
        return _read_shards(folder, index)
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if len(names) == 1:
        return _single_file(folder, names[0])
    if names:
        raise CheckpointError(
            f"{shown(folder)} has {len(names)} safetensors files but no {INDEX_FILE}; "
            "download it again."
        )
    raise _no_safetensors(folder)


def _single_file(folder: Path, name: str) -> _Found:
    header = _read_shard(folder, name)
    return dict(header.tensors), dict(header.metadata)


def _no_safetensors(folder: Path) -> CheckpointError | UnsupportedModelError:
    others = [path.name for pattern in _OTHER_WEIGHTS for path in sorted(folder.glob(pattern))]
    if others:
        return UnsupportedModelError(
            f"{shown(folder)} keeps its weights in {listed(others)}, and localfp4 reads only "
            "safetensors; pick a safetensors version of the model."
        )
    return CheckpointError(f"{shown(folder)} has no weights: no {SINGLE_FILE} and no {INDEX_FILE}.")


def _read_shards(folder: Path, index: Mapping[str, Any]) -> _Found:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{shown(folder / INDEX_FILE)} has no weight_map; download it again.")
    names = sorted({_checked_shard_name(folder, name) for name in weight_map.values()})
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise CheckpointError(
            f"{shown(folder)} lacks {listed(missing)} of {len(names)} weight files; "
            "download it again."
        )
    headers = {name: _read_shard(folder, name) for name in names}
    shards = {name: header.tensors for name, header in headers.items()}
    absent = sorted(tensor for tensor, shard in weight_map.items() if tensor not in shards[shard])
    if absent:
        raise CheckpointError(
            f"{shown(folder / INDEX_FILE)} promises tensors that its files do not have: "
            f"{listed(absent)}; download it again."
        )
    metadata = {key: text for header in headers.values() for key, text in header.metadata.items()}
    return {tensor: shards[shard][tensor] for tensor, shard in weight_map.items()}, metadata


def _checked_shard_name(folder: Path, name: object) -> str:
    """Accept plain file names only: an index must not reach outside its folder."""
    if not isinstance(name, str) or not _SHARD_NAME.fullmatch(name):
        raise CheckpointError(
            f"{shown(folder / INDEX_FILE)} names {shown(name)!r}, "
            "which is not a safetensors file of this folder; do not trust this checkpoint."
        )
    return name


def _read_shard(folder: Path, name: str) -> Header:
    return read_header(_inside(folder, name))


def _inside(folder: Path, name: str) -> Path:
    """Resolve links, which the hub's cache uses, and refuse those that lead elsewhere."""
    path = folder / name
    real = path.resolve()
    if not any(real.is_relative_to(root) for root in _roots(folder.resolve())):
        raise CheckpointError(
            f"{shown(path)} is a link that leads out of its folder; copy the file instead."
        )
    return path


def _roots(folder: Path) -> list[Path]:
    """Return the folder and, for a snapshot in the hub's cache, the stores its links lead to."""
    if folder.parent.name != "snapshots":
        return [folder]
    repository = folder.parent.parent
    return [folder, repository / "blobs", repository.parent / "blobs"]


def _read_object(folder: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON object; ``None`` where the file does not exist."""
    path = folder / name
    if not path.exists():
        return None
    _inside(folder, name)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{shown(path)} is too large for what it is; download it again.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{shown(path)} cannot be read: {shown(error.strerror or error)}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{shown(path)} is not valid JSON; download it again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{shown(path)} does not hold a JSON object; download it again.")
    return value
