"""Many small tensors in one buffer, so that they reach the device in one copy."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import torch

_TYPE_CODES = {torch.int64: "q", torch.int32: "i", torch.float32: "f"}
_ALIGNMENT = 2
"""In numbers of 8 bytes: kernels are compiled for tensors that start at multiples of 16 bytes."""


@dataclass(slots=True)
class Section:
    """Where a tensor lies in the buffer; not frozen, as a step makes a dozen.

    Attributes:
        start: In numbers of 8 bytes.
        size: Elements of its own type.
        dtype: int64, int32 or float32.
    """

    start: int
    size: int
    dtype: torch.dtype

    def of(self, buffer: torch.Tensor) -> torch.Tensor:
        """Return the tensor ``[size]`` as a view of a buffer, int64 ``[n]``."""
        if self.dtype is torch.int64:
            return buffer[self.start : self.start + self.size]
        words = buffer[self.start : self.start + -(-self.size * self.dtype.itemsize // 8)]
        return words.view(self.dtype)[: self.size]


class Numbers:
    """A buffer that is being filled.

    Attributes:
        values: Its content; sections of other types than int64 as their bytes.
    """

    def __init__(self) -> None:
        self.values = array("q")

    def int64(self, values: Iterable[int]) -> Section:
        """Add a tensor of int64."""
        start = len(self.values)
        # Making an array of a list takes half as long as extending one by it.
        self.values += array("q", values)
        section = Section(start, len(self.values) - start, torch.int64)
        self._align()
        return section

    def int32(self, values: Iterable[int]) -> Section:
        """Add a tensor of int32."""
        return self._narrow(values, torch.int32)

    def float32(self, values: Iterable[float]) -> Section:
        """Add a tensor of float32."""
        return self._narrow(values, torch.float32)

    def on_device(self, device: torch.device) -> torch.Tensor:
        """Return everything as one tensor, int64 ``[n]``; does not wait for the device.

        The pages that a GPU reads from are locked, and torch uses them again once it has read them.
        """
        if not self.values:
            return torch.empty(0, dtype=torch.int64, device=device)
        host = torch.frombuffer(self.values, dtype=torch.int64)
        if device.type != "cuda":
            return host.to(device)
        return host.pin_memory().to(device, non_blocking=True)

    def _narrow(self, values: Iterable[float], dtype: torch.dtype) -> Section:
        packed = array(_TYPE_CODES[dtype], values)
        section = Section(len(self.values), len(packed), dtype)
        if len(packed) % 2:
            packed.append(0)
        self.values.frombytes(packed.tobytes())
        self._align()
        return section

    def _align(self) -> None:
        if len(self.values) % _ALIGNMENT:
            self.values.append(0)
