"""What calibration learns of the inputs of a site."""

from dataclasses import dataclass

import torch


@dataclass(slots=True, eq=False)
class InputStatistics:
    """Sums over the rows ``x`` that a site reads, weighted by how much each row's output counts.

    Rows of experts count with the square of their routing weight, others once.

    Attributes:
        hessian: float32 ``[K, K]``, sum of ``w x x^T``; ``None`` where only scales are needed.
        square: float32 ``[K]``, sum of ``w x^2``: the diagonal of the Hessian.
        mean_abs: float32 ``[K]``, sum of ``|x|``, each row counted once.
        amax: float32 ``[K]``, largest ``|x|``.
        weight: Sum of ``w``.
        rows: How many rows were seen.
        sample: ``[n, K]`` some of the rows, evenly spread, to try candidates on.
        borrowed: Whether too few rows came to this site, so that those of the whole layer stand in.
    """

    hessian: torch.Tensor | None
    square: torch.Tensor
    mean_abs: torch.Tensor
    amax: torch.Tensor
    weight: float = 0.0
    rows: int = 0
    sample: torch.Tensor | None = None
    borrowed: bool = False

    @property
    def largest(self) -> float:
        """Largest magnitude of any input, which static scales of activations are made for."""
        return float(self.amax.max())

    @property
    def importance(self) -> torch.Tensor:
        """Mean of ``x^2`` per column, float32 ``[K]``: how much an error of a weight counts."""
        return self.square / max(self.weight, 1e-30)
