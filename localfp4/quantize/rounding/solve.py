"""Rounding a matrix as a recipe says, whichever way that is."""

import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.rounding.errors import output_error, weight_error
from localfp4.quantize.rounding.gptq import gptq
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.statistics import InputStatistics


def solve(
    weight: torch.Tensor,
    statistics: InputStatistics | None,
    format: WeightFormat,
    rounding: Rounding,
    *,
    amax: float | None = None,
) -> tuple[Codes, float]:
    """Choose the codes of a matrix.

    Args:
        weight: ``[N, K]`` of any floating type; rotated, where inputs are.
        statistics: Of its inputs; ``None`` where nobody saw any, which rounds to nearest.
        format: What it becomes.
        rounding: How; GPTQ rounds to nearest where there is no Hessian.
        amax: Largest magnitude to scale for, of all that share a global scale; ``None`` takes the
            matrix's own.

    Returns:
        The codes, and the squared error of the output over that of the original on the inputs that
        were seen; of the weights, where there is no Hessian.

    Raises:
        SolveError: The inputs cannot be used.
        ValueError: The weight is not finite.
    """
    hessian = None if statistics is None else statistics.hessian
    if rounding.solver == "gptq" and statistics is not None and hessian is not None:
        codes = gptq(weight, statistics, format, rounding, amax=amax)
    else:
        importance = None if statistics is None else statistics.importance
        codes = round_to_nearest(weight, format, rounding, amax=amax, importance=importance)
    if hessian is None:
        return codes, weight_error(weight, codes)
    return codes, output_error(weight, codes, hessian)
