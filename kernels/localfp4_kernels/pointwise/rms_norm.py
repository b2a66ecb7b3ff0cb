"""Root-mean-square normalisation (Zhang & Sennrich 2019)."""

import torch


def rms_norm_torch(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Return ``x / rms(x) * weight`` over the last dimension.

    Args:
        x: ``[..., D]``.
        weight: ``[..., D]``, broadcast against ``x``: one row for all, or one per head.
        eps: Added to the mean square before the root.
    """
    if weight.dim() == 1:
        return torch.rms_norm(x, weight.shape, weight, eps)
    return torch.rms_norm(x, weight.shape[-1:], None, eps) * weight
