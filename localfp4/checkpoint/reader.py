"""Reads tensors of a checkpoint into fresh CPU memory; knows bytes and dtypes, not models.

Plain reads rather than a memory map: what has been consumed is freed with its tensor, and pages
of the file never count as memory of this process.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

import torch

from localfp4.checkpoint.byte_reader import ByteReader, Piece
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.read_ahead import ReadAhead
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError, UnsupportedModelError

TORCH_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "BOOL": torch.bool,
        "U8": torch.uint8,
        "I8": torch.int8,
        "U16": torch.uint16,
        "I16": torch.int16,
        "U32": torch.uint32,
        "I32": torch.int32,
        "U64": torch.uint64,
        "I64": torch.int64,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E8M0": torch.float8_e8m0fnu,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
        "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F32": torch.float32,
        "F64": torch.float64,
        "C64": torch.complex64,
    }
)


class TensorReader:
    """Reads tensors by name; a context manager that keeps the files open meanwhile.

    Not safe to share between threads.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.bytes_read = 0
        self._bytes = ByteReader()
        self._ahead: ReadAhead | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._bytes.close()
        self._ahead = None

    def read_ahead(self, names: Iterable[str], device: torch.device) -> None:
        """Read tensors in the background until they are asked for, some hundred megabytes ahead.

        Args:
            names: In the order in which they will be asked for; any other order costs time only.
            device: Where they will go.
        """
        tensors = self.checkpoint.tensors
        known = (tensors[name] for name in names if name in tensors)
        self._ahead = ReadAhead(self._bytes, known, page_locked=device.type == "cuda")

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor in memory of its own, in its stored dtype (``F4`` as packed uint8).

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        info = self.checkpoint.tensors.get(name)
        if info is None:
            raise CheckpointError(f"{shown(self.checkpoint.folder)} has no tensor {shown(name)}.")
        shape, dtype = _memory_layout(info)
        return self._data(info).view(dtype).reshape(shape)

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor whose values decide what a layer runs.

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        return TensorReader.read(self, name)

    def _data(self, info: TensorInfo) -> torch.Tensor:
        """Return the bytes of a tensor."""
        self.bytes_read += info.nbytes
        data = None if self._ahead is None else self._ahead.take(info.name)
        if data is not None:
            return data
        data = torch.empty(info.nbytes, dtype=torch.uint8)
        try:
            complete = self._bytes.fill(Piece(data.numpy().data, info.file, info.start))
        except OSError as error:
            raise CheckpointError(
                f"{shown(info.file)} cannot be read: {shown(error.strerror or error)}."
            ) from error
        if not complete:
            raise CheckpointError(
                f"{shown(info.file)} ended inside tensor {shown(info.name)}: "
                "it changed while it was read."
            )
        return data


class OutlineReader(TensorReader):
    """Answers like a reader, with tensors on the ``meta`` device: shapes and types, no values.

    Only :meth:`values` are read.

    Attributes:
        names: What was asked for, in that order.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.names: list[str] = []

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor without memory."""
        self.names.append(name)
        info = self.checkpoint.tensors.get(name)
        if info is None:
            return super().read(name)
        shape, dtype = _memory_layout(info)
        return torch.empty(shape, dtype=dtype, device="meta")

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor whose values decide what a layer runs.

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        self.names.append(name)
        return super().values(name)

    def repeat(self, prefixes: Sequence[Sequence[str]]) -> None:
        """Note that what was just asked for under some prefixes will be under others as well.

        Args:
            prefixes: First those that were used, then, in order, as many each time.
        """
        first = prefixes[0]
        place = len(self.names)
        while place and any(self.names[place - 1].startswith(f"{one}.") for one in first):
            place -= 1
        asked = [
            next(
                (part, name.removeprefix(one))
                for part, one in enumerate(first)
                if name.startswith(f"{one}.")
            )
            for name in self.names[place:]
        ]
        for others in prefixes[1:]:
            self.names += [others[part] + rest for part, rest in asked]


def _memory_layout(info: TensorInfo) -> tuple[tuple[int, ...], torch.dtype]:
    if info.dtype == "F4" and info.shape and info.shape[-1] % 2 == 0:
        return (*info.shape[:-1], info.shape[-1] // 2), torch.uint8
    if info.dtype not in TORCH_DTYPES:
        raise UnsupportedModelError(
            f"{shown(info.name)} has dtype {info.dtype}, which this version cannot read."
        )
    return info.shape, TORCH_DTYPES[info.dtype]
