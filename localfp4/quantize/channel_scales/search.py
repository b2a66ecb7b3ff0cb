"""The channel scales of AWQ (arXiv:2306.00978) and SmoothQuant (arXiv:2211.10438)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from localfp4.models.emulated import Narrow, round_activations
from localfp4.quantize.channel_scales.folds import Fold
from localfp4.quantize.recipe import Precision, Recipe
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.statistics import InputStatistics

_EXPONENTS = tuple(step / 20 for step in range(1, 20))
"""What AWQ tries, beside leaving all as it is."""

_ALPHA = 0.5
"""How much of the outliers SmoothQuant moves, on a logarithmic scale."""

_TRIED = 512
"""Inputs, and rows of the weight, on which exponents are compared."""

_LEAST = 1e-3
"""Of the mean, what quiet channels count as: their weights must not vanish."""

_LARGEST_NVFP4 = 6.0 * 448.0
"""What the largest activation becomes under the static scale of NVFP4."""

_NARROW: Mapping[Precision, Narrow] = MappingProxyType({"w4a16": "none", "w4a8": "fp8"})


def smoothquant_scales(
    fold: Fold, weight: torch.Tensor, statistics: InputStatistics
) -> torch.Tensor | None:
    """Return what a fold's channels are divided by, float32 ``[C]``.

    Args:
        fold: What is scaled.
        weight: ``[N, K]`` of its site.
        statistics: Of the inputs.

    Returns:
        ``amax(x)^0.5 / amax(w)^0.5``; ``None`` where inputs or weights are all zero.
    """
    inputs = _heard(fold.channels(statistics.amax))
    weights = _heard(fold.channels(weight.abs().amax(0).float()))
    if inputs is None or weights is None:
        return None
    return inputs**_ALPHA / weights ** (1 - _ALPHA)


def awq_scales(
    fold: Fold, weight: torch.Tensor, statistics: InputStatistics, recipe: Recipe
) -> torch.Tensor | None:
    """Return what a fold's channels are divided by, float32 ``[C]``.

    Args:
        fold: What is scaled.
        weight: ``[N, K]`` of its site.
        statistics: Of the inputs, with a sample.
        recipe: How weights and activations are rounded.

    Returns:
        The power of the inputs' mean magnitude with the least error of the output on a sample of
        inputs and rows; ``None`` where none is better than no scales.
    """
    magnitude = _heard(fold.channels(statistics.mean_abs))
    if magnitude is None or statistics.sample is None:
        return None
    largest = weight.abs().amax(0).float()
    trial = _Trial(_some(weight), _some(statistics.sample).float(), largest, statistics, recipe)
    best, least = None, trial.error(torch.ones_like(statistics.amax))
    for exponent in _EXPONENTS:
        scales = magnitude**exponent
        scales /= (scales.max() * scales.min()).sqrt()
        error = trial.error(fold.columns(scales))
        if error < least:
            best, least = scales, error
    return best


@dataclass(frozen=True, slots=True)
class _Trial:
    """What candidates are compared on.

    Attributes:
        rows: ``[n, K]``, some of the weight's.
        inputs: float32 ``[m, K]``, some of those that were seen.
        largest: float32 ``[K]``, largest magnitude of each column of the whole weight.
        statistics: Of all inputs.
        recipe: How both are rounded.
    """

    rows: torch.Tensor
    inputs: torch.Tensor
    largest: torch.Tensor
    statistics: InputStatistics
    recipe: Recipe

    def error(self, columns: torch.Tensor) -> float:
        """Return the squared error of outputs with inputs divided by ``columns`` ``[K]``."""
        recipe = self.recipe
        codes = round_to_nearest(
            (self.rows.float() * columns).to(self.rows.dtype),
            recipe.format,
            recipe.rounding,
            amax=float((self.largest * columns).max()),
            importance=self.statistics.importance / columns.square(),
        )
        narrow = _NARROW.get(recipe.precision, recipe.format)
        scale = None
        if narrow == "nvfp4":
            scale = (self.statistics.amax / columns).max() / _LARGEST_NVFP4
        inputs = round_activations(self.inputs / columns, narrow, scale)
        wrong = inputs @ codes.dequantised().T - self.inputs @ self.rows.float().T
        return float(wrong.square().sum(dtype=torch.float64))


def _some(rows: torch.Tensor) -> torch.Tensor:
    """Return at most so many rows, evenly spread."""
    return rows[:: -(-len(rows) // _TRIED) or 1]


def _heard(magnitude: torch.Tensor) -> torch.Tensor | None:
    """Return magnitudes with quiet ones raised; ``None`` where all are zero."""
    mean = magnitude.mean()
    return magnitude.clamp(min=float(mean) * _LEAST) if mean > 0 else None
