"""What the safetensors format tells of a tensor: its place in a file, type and shape; stdlib only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8,
        "U8": 8,
        "I8": 8,
        "U16": 16,
        "I16": 16,
        "U32": 32,
        "I32": 32,
        "U64": 64,
        "I64": 64,
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        "F8_E4M3": 8,
        "F8_E5M2": 8,
        "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
        "F16": 16,
        "BF16": 16,
        "F32": 32,
        "F64": 64,
        "C64": 64,
    }
)
"""Bits of one element of every dtype the format knows."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies and what it is.

    Attributes:
        name: Its name in the file.
        dtype: A key of :data:`DTYPE_BITS`.
        shape: Its dimensions; ``F4`` counts elements, not bytes.
        start: First byte, counted from the beginning of the file.
        end: First byte after it.
        file: The file that holds it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    file: Path

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.end - self.start
