"""Weights that hold numbers."""

import torch

from localfp4.checkpoint.display import shown
from localfp4.errors import CheckpointError


def finite(weight: torch.Tensor, name: str) -> torch.Tensor:
    """Return a weight that holds neither NaN nor infinity.

    Raises:
        CheckpointError: It does, so that nothing made of it would be of use.
    """
    # The extremes are NaN where any value is, and take no memory beside the weight.
    if weight.numel() and not all(one.isfinite() for one in weight.aminmax()):
        raise CheckpointError(
            f"{shown(name)} holds numbers that are not finite, so that the model cannot be "
            "quantised; download it again."
        )
    return weight
