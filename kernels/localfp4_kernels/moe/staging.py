"""Memory on the card that holds experts while a step of many tokens multiplies with them."""

import math

import torch

from localfp4_kernels.moe.stack import ExpertStack, stack_tensors, with_stack_tensors

_ALIGNMENT = 256
"""Bytes at whose multiples tensors begin, as those of an allocator do."""


class Staging:
    """A buffer that all stacks of a model share, one after the other.

    Kernels of one stream run in order, so that the next stack's experts only replace those of the
    last when these have been used.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin without memory."""
        self._buffer = torch.empty(0, dtype=torch.uint8, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes on the card."""
        return self._buffer.nbytes

    def reserve(self, stack: ExpertStack) -> None:
        """Make room for a stack; not while a step runs, and not once a CUDA graph has seen it."""
        needed = staging_bytes(stack)
        if needed > self.nbytes:
            self._buffer = self._buffer.new_empty(needed)

    def like(self, stack: ExpertStack) -> ExpertStack:
        """Return a stack in the buffer, of the sizes and types of another.

        Raises:
            ValueError: It is larger than any for which there was room made.
        """
        if staging_bytes(stack) > self.nbytes:
            raise ValueError(
                f"the staging buffer of {self.nbytes} bytes is too small for the stack"
            )
        parts = {}
        start = 0
        for name, tensor in stack_tensors(stack).items():
            flat = self._buffer[start : start + tensor.nbytes].view(tensor.dtype)
            parts[name] = flat.view(tensor.shape)
            start += _aligned(tensor.nbytes)
        return with_stack_tensors(stack, parts)


def staging_bytes(stack: ExpertStack) -> int:
    """Return how many bytes of the buffer a stack takes."""
    return sum(_aligned(tensor.nbytes) for tensor in stack_tensors(stack).values())


def _aligned(count: int) -> int:
    return math.ceil(count / _ALIGNMENT) * _ALIGNMENT
