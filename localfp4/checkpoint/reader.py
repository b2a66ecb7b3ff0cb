"""Reads tensors of a checkpoint into fresh CPU memory; knows bytes and dtypes, not models.

Plain reads rather than a memory map: what has been consumed is freed with its tensor, and pages
of the file never count as memory of this process.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import torch

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.headers import TensorInfo
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.nvfp4 import NAMES, NVFP4
from localfp4.errors import CheckpointError, UnsupportedModelError

_log = logging.getLogger(__name__)

FIRST_BAD_SCALE = 0x7F
"""E4M3 bytes from here on are NaN or negative, neither of which a block scale can be."""

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


@dataclass(frozen=True, slots=True)
class Nvfp4Tensors:
    """The tensors of an NVFP4 linear, the same whichever exporter wrote it.

    ``weight[n, k] = E2M1[code] * scale[n, k // 16] * global_scale``.

    Attributes:
        packed: uint8 [N, K/2]; code 2j in the low half of byte j, 2j+1 in the high one.
        scale: float8_e4m3fn [N, K/16]; finite and not negative.
        global_scale: float32 []; a multiplier, finite and positive.
        input_scale: float32 []; a multiplier (largest activation / 2688), or ``None`` where
            activations stay 16-bit or were not calibrated.
    """

    packed: torch.Tensor
    scale: torch.Tensor
    global_scale: torch.Tensor
    input_scale: torch.Tensor | None


class TensorReader:
    """Reads tensors by name; a context manager that keeps the files open meanwhile.

    Not safe to share between threads.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.bytes_read = 0
        self._files: dict[Path, FileIO] = {}

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
        while self._files:
            self._files.popitem()[1].close()

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
        data = torch.empty(info.nbytes, dtype=torch.uint8)
        self._fill(data, info)
        return data.view(dtype).reshape(shape)

    def _fill(self, data: torch.Tensor, info: TensorInfo) -> None:
        buffer = data.numpy().data
        try:
            file = self._file(info.file)
            file.seek(info.start)
            done = 0
            while done < info.nbytes:
                count = file.readinto(buffer[done:])
                if not count:
                    raise CheckpointError(
                        f"{shown(info.file)} ended inside tensor {shown(info.name)}: "
                        "it changed while it was read."
                    )
                done += count
                self.bytes_read += count
        except OSError as error:
            raise CheckpointError(
                f"{shown(info.file)} cannot be read: {shown(error.strerror or error)}."
            ) from error

    def _file(self, path: Path) -> FileIO:
        if path not in self._files:
            self._files[path] = path.open("rb", buffering=0)
        return self._files[path]


class OutlineReader(TensorReader):
    """Answers like a reader, with tensors on the ``meta`` device: shapes and types, no values.

    Single numbers are read, since what a layer runs may depend on them.
    """

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor without memory; one that holds a single number is read."""
        info = self.checkpoint.tensors.get(name)
        if info is None or math.prod(info.shape) == 1:
            return super().read(name)
        shape, dtype = _memory_layout(info)
        return torch.empty(shape, dtype=dtype, device="meta")


def nvfp4_parts(reader: TensorReader, prefix: str, kind: NVFP4) -> Nvfp4Tensors:
    """Read the tensors of an NVFP4 linear and bring them to one convention.

    A global scale of zero or NaN, which exporters write for matrices that are all zero, gives
    a matrix of zeros and a warning in the log.

    Raises:
        CheckpointError: A tensor is missing, or a scale is no positive, finite number.
    """
    names = NAMES[kind.layout]
    packed = reader.read(prefix + names.packed).view(torch.uint8)
    scale = reader.read(prefix + names.scale)
    stored = reader.read(prefix + names.global_scale).reshape(())
    input_scale = _input_scale(reader, prefix, kind)
    global_scale = stored.reciprocal() if names.scales_are_divisors else stored
    if not global_scale.isnan() and global_scale != 0:
        _check_scales(prefix, scale, global_scale)
        return Nvfp4Tensors(packed, scale, global_scale, input_scale)
    _log.warning(
        "%s has a global scale of %s and is read as zeros.", shown(prefix), global_scale.item()
    )
    zero_scale = torch.zeros_like(scale.view(torch.uint8)).view(scale.dtype)
    return Nvfp4Tensors(torch.zeros_like(packed), zero_scale, torch.ones(()), input_scale)


def _check_scales(prefix: str, scale: torch.Tensor, global_scale: torch.Tensor) -> None:
    if not global_scale.isfinite() or global_scale < 0:
        raise CheckpointError(
            f"The global scale of {shown(prefix)} is {global_scale.item()}, "
            "but must be a positive, finite number; download the model again."
        )
    if not scale.is_meta and (scale.view(torch.uint8) >= FIRST_BAD_SCALE).any():
        raise CheckpointError(
            f"{shown(prefix)}.weight_scale holds NaN or negative block scales; "
            "download the model again."
        )


def _input_scale(reader: TensorReader, prefix: str, kind: NVFP4) -> torch.Tensor | None:
    """Return the calibrated multiplier, or ``None``: experts that saw no token have 0 or none."""
    names = NAMES[kind.layout]
    name = prefix + names.input_scale
    if kind.activations == "none" or name not in reader.checkpoint.tensors:
        return None
    stored = reader.read(name).reshape(())
    scale = stored.reciprocal() if names.scales_are_divisors else stored
    return scale if scale.isfinite() and scale > 0 else None


def _memory_layout(info: TensorInfo) -> tuple[tuple[int, ...], torch.dtype]:
    if info.dtype == "F4" and info.shape and info.shape[-1] % 2 == 0:
        return (*info.shape[:-1], info.shape[-1] // 2), torch.uint8
    if info.dtype not in TORCH_DTYPES:
        raise UnsupportedModelError(
            f"{shown(info.name)} has dtype {info.dtype}, which this version cannot read."
        )
    return info.shape, TORCH_DTYPES[info.dtype]
