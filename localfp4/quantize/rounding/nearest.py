"""Rounding a matrix to nearest, a few rows at a time."""

import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.codes import Codes, stacked
from localfp4.quantize.rounding.grid import grid
from localfp4.quantize.rounding.pieces import row_pieces


def round_to_nearest(
    weight: torch.Tensor,
    format: WeightFormat,
    rounding: Rounding,
    *,
    amax: float | None = None,
    importance: torch.Tensor | None = None,
) -> Codes:
    """Round a matrix to nearest, with scales by the rule of ``rounding``.

    Args:
        weight: ``[N, K]`` of any floating type.
        format: What is rounded to.
        rounding: Its scale rule, and whether global scales divide.
        amax: Largest magnitude to scale for; matrices that run merged share the largest of theirs.
            ``None`` takes the matrix's own.
        importance: float32 ``[K]``, how much a squared error in a column counts; ``None`` is the
            same everywhere.

    Raises:
        ValueError: K does not fall into whole groups, or the weight is not finite.
    """
    numbers = grid(format)
    columns = weight.shape[1]
    if numbers.group_size and columns % numbers.group_size:
        needed = f"columns in multiples of {numbers.group_size}"
        raise ValueError(f"{format} needs {needed}, not {columns}")
    own = largest_magnitude(weight)
    top = own if amax is None else amax
    whole = numbers.global_scale(top, rounding, weight.dtype, weight.device)
    parts = []
    for rows in row_pieces(weight):
        scale = numbers.choose_scales(rows, whole, rounding.scales, importance)
        parts.append(numbers.pack(numbers.encode(rows, scale, whole), scale, whole))
    return stacked(parts)


def largest_magnitude(weight: torch.Tensor) -> float:
    """Return the largest magnitude of a matrix.

    Raises:
        ValueError: It holds values that are not finite.
    """
    low, high = weight.aminmax()
    amax = torch.maximum(-low, high)
    if not amax.isfinite():
        raise ValueError("the weight holds values that are not finite")
    return float(amax)
