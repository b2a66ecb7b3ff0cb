"""Adding up what calibration learns of the rows that a site reads."""

from dataclasses import dataclass

import torch

from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.statistics import InputStatistics


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be learned of inputs, which are looked at before they are rounded themselves.

    So do MR-GPTQ and llm-compressor. Hessians of inputs in 4 bits made a demo model's answers 3%
    closer to the original's with one calibration text and 6% less close with another.

    Attributes:
        hessian: Whether the sum of ``x x^T`` is needed.
        rotation: Features that are rotated together first; 0 rotates none.
        sample: Rows that are kept of each call.
    """

    hessian: bool
    rotation: int = 0
    sample: int = 0


class Gathering:
    """Sums over rows as they come by.

    Attributes:
        statistics: What is known so far.
    """

    def __init__(self, columns: int, wish: Wish, device: torch.device) -> None:
        """Begin with nothing for inputs of ``columns`` features."""
        self._wish = wish
        self._kept: list[torch.Tensor] = []
        self._weight = torch.zeros((), dtype=torch.float64, device=device)
        self._statistics = InputStatistics(
            hessian=torch.zeros(columns, columns, device=device) if wish.hessian else None,
            square=torch.zeros(columns, device=device),
            mean_abs=torch.zeros(columns, device=device),
            amax=torch.zeros(columns, device=device),
        )

    @property
    def statistics(self) -> InputStatistics:
        """What is known so far."""
        self._statistics.weight = float(self._weight)
        if self._kept:
            self._statistics.sample = torch.cat(self._kept)
        return self._statistics

    def add(self, x: torch.Tensor, routing: torch.Tensor | None = None) -> None:
        """Add rows ``x`` ``[T, K]``, whose outputs are multiplied by ``routing`` ``[T]``."""
        if not len(x):
            return
        wish, found = self._wish, self._statistics
        rows = x.float()
        if wish.rotation:
            rows = rotate(rows, wish.rotation)
        magnitudes = rows.abs()
        found.amax = torch.maximum(found.amax, magnitudes.amax(0))
        found.mean_abs += magnitudes.sum(0)
        found.rows += len(rows)
        if wish.sample:
            self._keep(x)
        if routing is None:
            self._weight += len(rows)
        else:
            weight = routing.float()
            rows = rows * weight.unsqueeze(1)
            self._weight += weight.square().sum()
        found.square += rows.square().sum(0)
        if found.hessian is not None:
            found.hessian.addmm_(rows.T, rows)

    def _keep(self, x: torch.Tensor) -> None:
        """Keep some of the rows, evenly spread."""
        step = max(len(x) // self._wish.sample, 1)
        self._kept.append(x[step // 2 :: step][: self._wish.sample].clone())
