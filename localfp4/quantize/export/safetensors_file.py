"""Writes safetensors files whose tensors come from memory or straight from other files.

What is carried along unchanged is copied as bytes: nothing of it is in memory, and a file is there
whole or not at all.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Self

import torch

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.reader import TORCH_DTYPES
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError
from localfp4.file_moves import put_in_place

PARTIAL = ".partial"
"""Ends the names of what is not yet complete."""

_NAMES: Mapping[torch.dtype, str] = MappingProxyType(
    {dtype: name for name, dtype in TORCH_DTYPES.items()}
)
_METADATA = {"format": "pt"}
"""What transformers asks of a file before it reads it."""

_ALIGNMENT = 8
_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor that is to be written.

    Attributes:
        name: What it is called in the new file.
        dtype: As headers call it.
        shape: Its dimensions.
        nbytes: Its size.
        data: Its values, or where they lie.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    data: torch.Tensor | TensorInfo

    @classmethod
    def of_tensor(cls, name: str, tensor: torch.Tensor) -> Self:
        """Describe a tensor in memory."""
        stored = tensor.detach().cpu().contiguous()
        return cls(name, _NAMES[stored.dtype], tuple(stored.shape), stored.nbytes, stored)

    @classmethod
    def carried(cls, info: TensorInfo) -> Self:
        """Describe a tensor of another file."""
        return cls(info.name, info.dtype, info.shape, info.nbytes, info)


def write_safetensors(path: Path, entries: Sequence[Entry]) -> None:
    """Write a file under another name, and give it its own once it is on the disk.

    Raises:
        CheckpointError: A file that tensors come from ended too early.
        OSError: Something cannot be read or written.
    """
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(_header(entries))
        for entry in entries:
            for piece in _bytes(entry):
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    put_in_place(partial, path)


def _header(entries: Sequence[Entry]) -> bytes:
    described: dict[str, object] = {"__metadata__": _METADATA}
    start = 0
    for entry in entries:
        end = start + entry.nbytes
        described[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _bytes(entry: Entry) -> Iterator[bytes | memoryview]:
    if isinstance(entry.data, torch.Tensor):
        yield entry.data.reshape(-1).view(torch.uint8).numpy().data
        return
    with entry.data.file.open("rb") as file:
        file.seek(entry.data.start)
        yield from _pieces(file, entry.data)


def _pieces(file: BinaryIO, info: TensorInfo) -> Iterator[bytes]:
    left = info.nbytes
    while left:
        piece = file.read(min(left, _PIECE_BYTES))
        if not piece:
            raise CheckpointError(
                f"{shown(info.file)} ended inside tensor {shown(info.name)}: "
                "it changed while it was read."
            )
        left -= len(piece)
        yield piece
