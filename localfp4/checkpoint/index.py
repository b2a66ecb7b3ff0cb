"""Which files make up a checkpoint and what its JSON files say; torch-free, reads no tensor.

Knows file names and headers. Knows nothing of tensor formats (``kinds``) or of architectures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.json_files import read_object
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.weight_files import (
    FilesInFolder,
    FilesOfOutline,
    WeightFiles,
    find_tensors,
)
from localfp4.errors import CheckpointError
from localfp4.text.files import language_model_settings


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


def open_checkpoint(source: Path | Outline) -> Checkpoint:
    """Find the files of a checkpoint, and check their headers against each other.

    Args:
        source: Its folder, or an outline, of which no tensor can be read.

    Raises:
        CheckpointError: A file is missing, damaged, unreadable, or contradicts another.
        UnsupportedModelError: The weights are not in safetensors files.
    """
    try:
        return _opened(
            FilesOfOutline(source) if isinstance(source, Outline) else FilesInFolder(source)
        )
    except OSError as error:
        place = source.folder if isinstance(source, Outline) else source
        raise CheckpointError(
            f"{shown(error.filename or place)} cannot be read: {shown(error.strerror or error)}."
        ) from error


def _opened(files: WeightFiles) -> Checkpoint:
    folder = files.folder
    config = read_object(folder, "config.json")
    if config is None:
        raise CheckpointError(f"{shown(folder)} has no config.json, so it is not a model folder.")
    tensors, metadata = find_tensors(files)
    return Checkpoint(
        folder=folder,
        config=config,
        generation_config=read_object(folder, "generation_config.json") or {},
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
    exported = read_object(folder, "hf_quant_config.json") or {}
    quantization = exported.get("quantization")
    return {"quant_method": "modelopt", **quantization} if isinstance(quantization, dict) else None
