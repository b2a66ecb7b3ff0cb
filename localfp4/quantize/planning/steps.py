"""How many tokens pass a layer together; stdlib only."""

from collections.abc import Mapping
from types import MappingProxyType

STEP_TOKENS: Mapping[str, int] = MappingProxyType({"cpu": 2048, "cuda": 4096})
"""By the kind of device. On a GPU, fewer leave it idle and more take memory: rows of the widest input
are held in float32 while its Hessian is summed up."""


def windows_together(length: int, device: str) -> int:
    """Return how many windows of some length pass a layer together; one at least."""
    return max(STEP_TOKENS.get(device, STEP_TOKENS["cpu"]) // length, 1)


def step_tokens(length: int, device: str) -> int:
    """Return how many tokens these are."""
    return windows_together(length, device) * length
