"""What a step leaves for the host: several tensors, brought over in one copy."""

from collections.abc import Sequence

import torch


class Outputs:
    """Tensors on their way to the host."""

    def __init__(self, tensors: Sequence[torch.Tensor], device: torch.device) -> None:
        """Begin to copy, without waiting for the device.

        Args:
            tensors: On the device.
            device: Where they are.
        """
        self._tensors = tuple(tensors)
        self._host: torch.Tensor | None = None
        if device.type != "cuda" or not tensors:
            return
        # Larger types first, so that every tensor begins at a multiple of its element's size.
        self._order = sorted(range(len(tensors)), key=lambda place: -tensors[place].itemsize)
        parts = [tensors[place].contiguous().view(-1).view(torch.uint8) for place in self._order]
        packed = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._host = torch.empty(packed.shape, dtype=torch.uint8, pin_memory=True)
        self._host.copy_(packed, non_blocking=True)
        self._event = torch.cuda.Event()
        self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> list[torch.Tensor]:
        """Return the tensors on the host, once the device has computed them."""
        if self._host is None:
            return list(self._tensors)
        self._event.synchronize()
        arrived, start = list(self._tensors), 0
        for place in self._order:
            tensor = self._tensors[place]
            end = start + tensor.nbytes
            arrived[place] = self._host[start:end].view(tensor.dtype).view(tensor.shape)
            start = end
        return arrived
