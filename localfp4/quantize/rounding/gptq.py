"""GPTQ (arXiv:2210.17323): each column is rounded where the errors before it want it.

Columns are taken by descending importance; scales belong to groups of neighbours all the same, and
are fixed beforehand ("static act-order"), so that what is stored is an ordinary matrix.
"""

import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.codes import Codes, joined, stacked
from localfp4.quantize.rounding.columns import round_columns
from localfp4.quantize.rounding.feedback import SolveError, feedback
from localfp4.quantize.rounding.grid import grid
from localfp4.quantize.rounding.levels import levels
from localfp4.quantize.rounding.limits import GPTQ_WEIGHTS
from localfp4.quantize.rounding.nearest import largest_magnitude
from localfp4.quantize.rounding.pieces import row_pieces
from localfp4.quantize.rounding.problem import Problem, Solution
from localfp4.quantize.rounding.replay import replay
from localfp4.quantize.statistics import InputStatistics

__all__ = ["SolveError", "gptq"]

_BLOCK = 128
"""Columns whose errors reach those behind them in one product."""


def gptq(
    weight: torch.Tensor,
    statistics: InputStatistics,
    format: WeightFormat,
    rounding: Rounding,
    *,
    amax: float | None = None,
) -> Codes:
    """Round a matrix so that its output on the inputs that were seen changes least.

    Args:
        weight: ``[N, K]`` of any floating type; rotated, where inputs are.
        statistics: Of the inputs, with a Hessian; they are left as they are.
        format: What is rounded to.
        rounding: Scale rule, damping, and whether groups are replayed.
        amax: Largest magnitude to scale for; matrices that run merged share the largest of theirs.
            ``None`` takes the matrix's own.

    Raises:
        SolveError: Inputs were not finite, or depend on each other beyond what damping mends.
        ValueError: The weight is not finite, its columns do not fall into whole groups, or there is
            no Hessian.
    """
    numbers, columns = grid(format), weight.shape[1]
    if numbers.group_size and columns % numbers.group_size:
        raise ValueError(
            f"{format} needs columns in multiples of {numbers.group_size}, not {columns}"
        )
    if statistics.hessian is None:
        raise ValueError("GPTQ needs a Hessian")
    own = largest_magnitude(weight)
    hessian = statistics.hessian.to(weight.device)
    problem = Problem(
        numbers=numbers,
        levels=levels(format, weight.device),
        global_scale=numbers.global_scale(
            own if amax is None else amax, rounding, weight.dtype, weight.device
        ),
        rule=rounding.scales,
        hessian=hessian,
        feedback=feedback(hessian, rounding.damping),
    )
    parts = []
    for rows in weight.split(max(GPTQ_WEIGHTS // columns, 1)):
        solution = _solve(problem, rows).in_places(problem.feedback.order)
        if rounding.replay and numbers.group_size:
            replay(problem, solution)
        codes = problem.levels.codes[solution.taken.T.int()]
        parts.append(numbers.pack(codes, solution.scale, problem.global_scale))
    return stacked(parts)


def _solve(problem: Problem, weight: torch.Tensor) -> Solution:
    """Round some rows ``[N, K]``, block after block, in the order of the feedback."""
    order, matrix = problem.feedback.order, problem.feedback.matrix
    scale = _scales(problem, weight)
    units = problem.levels.units(problem.numbers, scale, problem.global_scale).T.contiguous()
    group_of = order // (len(order) // len(units))
    ordered = weight.T[order].float()
    taken = torch.empty_like(ordered, dtype=torch.uint8)
    wrong = torch.empty_like(ordered)
    for end in range(len(ordered), 0, -_BLOCK):
        block, after = slice(max(end - _BLOCK, 0), end), slice(end, None)
        targets = torch.addmm(ordered[block], matrix[after, block].T, wrong[after])
        taken[block], wrong[block] = round_columns(
            targets, ordered[block], units[group_of[block]], matrix[block, block], problem.levels
        )
    return Solution(ordered, taken, wrong, scale)


def _scales(problem: Problem, weight: torch.Tensor) -> torch.Tensor:
    """Choose the scales of some rows, errors weighted by how much each column counts."""
    importance = problem.hessian.diagonal() + problem.feedback.damping
    chosen = [
        problem.numbers.choose_scales(rows, problem.global_scale, problem.rule, importance)
        for rows in row_pieces(weight)
    ]
    return joined(chosen)
