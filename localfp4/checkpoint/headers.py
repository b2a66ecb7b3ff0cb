"""The header of a safetensors file, checked in full before any tensor is read; stdlib only.

Knows the container format alone: which bytes of a file hold which array. Knows nothing of
quantisation, of models, or of which files make up a checkpoint.
"""

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.tensor_info import DTYPE_BITS, TensorInfo
from localfp4.errors import CheckpointError

PREFIX_BYTES = 8
"""At the beginning of a file, which say how long its header is."""

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_TENSORS = 200_000
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header: its tensors cover the file's data exactly, without overlap."""

    file: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


class _DamagedError(Exception):
    """Why a header is refused; turned into a sentence that names the file."""


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; no tensor is touched.

    Raises:
        CheckpointError: The file cannot be read, or its header contradicts itself or the file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            prefix = file.read(PREFIX_BYTES)
            beginning = prefix + file.read(data_start(path, prefix, size) - len(prefix))
    except OSError as error:
        reason = shown(error.strerror or error)
        raise CheckpointError(f"{shown(path)} cannot be read: {reason}.") from error
    return parse_header(path, beginning, size)


def data_start(path: Path, prefix: bytes, file_size: int) -> int:
    """Return where the header of a file ends and its tensors begin.

    Args:
        path: The file, for messages; it need not exist.
        prefix: At least its first :data:`PREFIX_BYTES`.
        file_size: Of the whole file.

    Raises:
        CheckpointError: It cannot be a safetensors file of that size.
    """
    with _named(path):
        return PREFIX_BYTES + _header_length(prefix[:PREFIX_BYTES], file_size)


def parse_header(path: Path, beginning: bytes, file_size: int) -> Header:
    """Check the header of a file of which only the beginning is here.

    Args:
        path: The file; it need not exist.
        beginning: All before :func:`data_start`, or more.
        file_size: Of the whole file.

    Raises:
        CheckpointError: The header contradicts itself or the size of the file.
    """
    end = data_start(path, beginning, file_size)
    with _named(path):
        return _parse(path, beginning[PREFIX_BYTES:end], data_start=end, file_size=file_size)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Tell which file it is that is refused."""
    try:
        yield
    except _DamagedError as error:
        raise CheckpointError(
            f"{shown(path)} is damaged: {shown(error)}; download it again."
        ) from error


def _header_length(prefix: bytes, file_size: int) -> int:
    if len(prefix) < PREFIX_BYTES:
        raise _DamagedError(f"it has {file_size} bytes, too few for a safetensors file")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER_BYTES:
        raise _DamagedError(f"its header claims {length} bytes, more than {MAX_HEADER_BYTES}")
    if length > file_size - PREFIX_BYTES:
        raise _DamagedError(f"it ends after {file_size} bytes, inside its header")
    return int(length)


def _parse(path: Path, raw: bytes, *, data_start: int, file_size: int) -> Header:
    entries = _json_object(raw)
    metadata = _metadata(entries.pop("__metadata__", {}))
    if len(entries) > MAX_TENSORS:
        raise _DamagedError(f"it lists {len(entries)} tensors, more than {MAX_TENSORS}")
    tensors = {name: _tensor(path, name, entry, data_start) for name, entry in entries.items()}
    _check_cover(tensors, data_start, file_size)
    return Header(path, MappingProxyType(tensors), MappingProxyType(metadata))


def _json_object(raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise _DamagedError("its header is not a JSON object")
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise _DamagedError("its header is not valid JSON") from error
    if not isinstance(value, dict):
        raise _DamagedError("its header is not a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _DamagedError("its header has a duplicate key")
    return result


def _no_constant(name: str) -> Any:
    raise _DamagedError(f"its header has {name}, which JSON does not allow")


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _DamagedError("its metadata is not a table of strings")
    return value


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    if not _is_unicode(name):
        raise _DamagedError(f"tensor {name!r} has a broken name")
    if not isinstance(entry, dict):
        raise _DamagedError(f"tensor {name} is not described by an object")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _DamagedError(f"tensor {name} has unknown dtype {dtype}")
    shape = _sizes(name, "shape", entry.get("shape"))
    offsets = _sizes(name, "data_offsets", entry.get("data_offsets"))
    if len(shape) > MAX_DIMENSIONS:
        raise _DamagedError(f"tensor {name} has {len(shape)} dimensions")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _DamagedError(f"tensor {name} has impossible data_offsets {list(offsets)}")
    size = offsets[1] - offsets[0]
    if _element_count(name, shape) * DTYPE_BITS[dtype] != 8 * size:
        raise _DamagedError(
            f"tensor {name} has {size} bytes, which is not {dtype} of shape {list(shape)}"
        )
    return TensorInfo(name, dtype, shape, data_start + offsets[0], data_start + offsets[1], path)


def _is_unicode(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _sizes(name: str, what: str, value: Any) -> tuple[int, ...]:
    """Accept a list of whole numbers that fit 63 bits; JSON's ``true`` is none."""
    if not isinstance(value, list) or not all(
        type(number) is int and 0 <= number <= MAX_ELEMENTS for number in value
    ):
        raise _DamagedError(f"tensor {name} has impossible {what} {value}")
    return tuple(value)


def _element_count(name: str, shape: tuple[int, ...]) -> int:
    """Multiply the dimensions; a zero among them makes the tensor empty, whatever the others."""
    if 0 in shape:
        return 0
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise _DamagedError(f"tensor {name} has impossible shape {list(shape)}")
    return count


def _check_cover(tensors: Mapping[str, TensorInfo], data_start: int, file_size: int) -> None:
    end = data_start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start < end:
            raise _DamagedError(f"tensor {tensor.name} overlaps another")
        if tensor.start > end:
            raise _DamagedError(f"there is a gap before tensor {tensor.name}")
        end = tensor.end
    if end > file_size:
        raise _DamagedError(f"it ends after {file_size} of {end} bytes")
    if end < file_size:
        raise _DamagedError(f"it has {file_size - end} bytes that belong to no tensor")
