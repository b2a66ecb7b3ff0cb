"""Moving tensors between the card and main memory beside the steps of a model."""

from collections.abc import Sequence
from typing import Protocol

import torch


class Pending(Protocol):
    """Something that the device was asked for."""

    def is_done(self) -> bool:
        """Say whether it has happened, without waiting."""


class Lane(Protocol):
    """A way beside the stream on which steps run."""

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Pending:
        """Copy from the first to the second of each pair, once all that was launched has run.

        Steps that are launched later run meanwhile.
        """

    def fetch(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Pending]:
        """Return what will be a copy in main memory, as of all that was launched."""

    def write(self, tensor: torch.Tensor, values: Sequence[int]) -> None:
        """Overwrite a tensor after all that was launched, and before what will be."""


class CudaLane:
    """A second stream of a GPU; main memory must be page-locked, so that nothing waits."""

    def __init__(self, device: torch.device) -> None:
        """Make the stream."""
        self._device = device
        self._beside = torch.cuda.Stream(device)

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Pending:
        """Queue the copies behind the steps launched so far."""
        self._beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._beside):
            for source, copy in pairs:
                copy.copy_(source, non_blocking=True)
        return _Event(self._beside)

    def fetch(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Pending]:
        """Queue the copy among the steps."""
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        copy.copy_(tensor, non_blocking=True)
        return copy, _Event(torch.cuda.current_stream(self._device))

    def write(self, tensor: torch.Tensor, values: Sequence[int]) -> None:
        """Queue the write among the steps."""
        # torch keeps page-locked memory from being used again until the copy has been made.
        locked = torch.tensor(values, dtype=tensor.dtype).pin_memory()
        tensor.copy_(locked, non_blocking=True)


class _Event:
    """A point on a stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event()
        self._event.record(stream)

    def is_done(self) -> bool:
        """Say whether the stream has passed it."""
        return bool(self._event.query())


class DirectLane:
    """Where everything is in main memory, as in Triton's interpreter, all is done at once."""

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Pending:
        """Copy now."""
        for source, copy in pairs:
            copy.copy_(source)
        return _Done()

    def fetch(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Pending]:
        """Copy now."""
        return tensor.clone(), _Done()

    def write(self, tensor: torch.Tensor, values: Sequence[int]) -> None:
        """Write now."""
        tensor.copy_(torch.tensor(values, dtype=tensor.dtype))


class _Done:
    """What has happened already."""

    def is_done(self) -> bool:
        """Say that it has."""
        return True


def make_lane(device: torch.device) -> Lane:
    """Return the way beside the steps of a device."""
    return CudaLane(device) if device.type == "cuda" else DirectLane()
