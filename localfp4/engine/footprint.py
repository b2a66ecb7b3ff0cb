"""What an engine holds of its device's memory."""

import os

import torch

from localfp4.engine.device import device_uuid
from localfp4.models.plan.workspace import CUDA_CONTEXT
from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.memory import process_memory


class Footprint:
    """Measures this process, once a model has been loaded.

    On a GPU that is what PyTorch has reserved, graphs included, and what CUDA itself takes. The
    latter is asked of the driver once, and assumed where the driver does not tell the memory of
    processes, as on Windows.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._context_bytes = _context_bytes(device) if device.type == "cuda" else 0

    @property
    def nbytes(self) -> int:
        """Bytes held now; on a CPU the resident memory of this process."""
        if self._device.type != "cuda":
            return process_memory().resident_bytes
        return torch.cuda.memory_reserved(self._device) + self._context_bytes

    @property
    def peak_nbytes(self) -> int:
        """The most that was held, since the peak was reset where the platform can do that."""
        if self._device.type != "cuda":
            return process_memory().peak_bytes
        return torch.cuda.max_memory_reserved(self._device) + self._context_bytes


def _context_bytes(device: torch.device) -> int:
    """Return what CUDA takes of a device besides what PyTorch has reserved."""
    cards = CardGauges.open()
    if cards is None:
        return CUDA_CONTEXT
    held = cards.process_bytes(device_uuid(device), os.getpid())
    cards.close()
    if held is None:
        return CUDA_CONTEXT
    return max(held - torch.cuda.memory_reserved(device), 0)
