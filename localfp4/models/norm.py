"""The RMS norms of a model."""

from dataclasses import dataclass

import torch

from localfp4.models.tokens import Input, Tokens
from localfp4_kernels.linear.norm_source import Normed
from localfp4_kernels.pointwise.rms_norm import rms_norm_torch


@dataclass(frozen=True, slots=True)
class Norm:
    """``x / rms(x) * weight`` over the last dimension.

    Attributes:
        weight: ``[D]`` or a row per head ``[H, D]``; ``None`` multiplies by nothing. A weight in
            float32 is multiplied before the result is rounded to the type of ``x``.
        eps: Added to the mean square.
    """

    weight: torch.Tensor | None
    eps: float

    def of(self, x: Input) -> Input:
        """Return ``x`` ``[T, D]`` normalised; kernels do it where the result is read."""
        if isinstance(x, Tokens):
            return x.then(Normed(x.rows, self.weight, self.eps))
        return self.forward(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` ``[..., D]`` normalised, in its type."""
        if self.weight is None:
            return torch.rms_norm(x, x.shape[-1:], None, self.eps)
        if self.weight.dtype == x.dtype:
            return rms_norm_torch(x, self.weight, self.eps)
        return rms_norm_torch(x.to(self.weight.dtype), self.weight, self.eps).to(x.dtype)
