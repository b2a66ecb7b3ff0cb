"""Rounding groups again under every scale, once the errors of all other columns are known.

GPTQ fixes scales before it knows which errors a group will have to make up for. Here each group is
taken once more. What its columns should be, given all other errors, is known in closed form, and how
much the output suffers from any rounding of them, too: the group is rounded with each candidate for
its scale, errors fed back within the group, and what is better than before stays. So the error of
the output on the inputs that were seen only ever sinks.
"""

import torch

from localfp4.quantize.rounding.columns import round_columns
from localfp4.quantize.rounding.problem import Problem, Solution

_ROUNDS = 2
"""How often every group is taken. On correlated inputs the first round removes about 8 % of the error
that GPTQ leaves, the second 3 %, the third 1 %."""

_BLOCK = 128
"""Columns whose gradient is computed in one product."""


def replay(problem: Problem, solution: Solution) -> None:
    """Improve a solution, with columns in their places, as it lies in memory."""
    groups = _Groups(problem, solution)
    columns = len(solution.weight)
    for _ in range(_ROUNDS):
        for start in range(0, columns, _BLOCK):
            groups.replay_block(slice(start, min(start + _BLOCK, columns)))


class _Groups:
    """The groups of some rows, and the damped Hessian of each one's columns, ``H = L L^T``."""

    def __init__(self, problem: Problem, solution: Solution) -> None:
        self._problem = problem
        self._solution = solution
        # Not every device indexes 8-bit floats, but all do bytes.
        self._bits = solution.scale.view(torch.uint8)
        self._size = len(solution.weight) // solution.scale.shape[1]
        diagonal = problem.hessian.diagonal().unflatten(0, (-1, self._size))
        first = torch.arange(len(diagonal), device=diagonal.device).unsqueeze(1) * self._size
        self._columns = first + diagonal.argsort(dim=1, stable=True)
        own = problem.hessian[self._columns.unsqueeze(2), self._columns.unsqueeze(1)]
        own.diagonal(dim1=1, dim2=2).add_(problem.feedback.damping)
        self._factors = torch.linalg.cholesky(own)

    def replay_block(self, block: slice) -> None:
        """Take the groups of some columns one after the other."""
        solution, hessian = self._solution, self._problem.hessian
        damping = self._problem.feedback.damping
        # Of half the output's squared error, by the errors of the block's columns.
        gradient = hessian[block] @ solution.wrong + damping * solution.wrong[block]
        for group in range(block.start // self._size, block.stop // self._size):
            columns = self._columns[group]
            inside = columns - block.start
            change = self._replay(group, gradient[inside])
            solution.wrong[columns] += change
            gradient.addmm_(hessian[block, columns], change)
            gradient[inside] += damping * change

    def _replay(self, group: int, gradient: torch.Tensor) -> torch.Tensor:
        """Round a group anew in the rows where that helps.

        Returns:
            The change of its errors, float32 ``[g, N]``.
        """
        problem, solution = self._problem, self._solution
        levels, columns = problem.levels, self._columns[group]
        factor = self._factors[group]
        diagonal = factor.diagonal()
        # How far the columns are from where the output's error would be least.
        excess = torch.cholesky_solve(gradient, factor)
        targets = solution.weight[columns] - solution.wrong[columns] + excess
        # The order of a group's columns is nothing to its scale.
        scales = problem.numbers.candidates(
            targets.T.contiguous(), problem.global_scale, problem.rule
        )
        # Candidates lie side by side, as if each were a row of its own.
        units = torch.cat(
            [levels.units(problem.numbers, scale, problem.global_scale).T for scale in scales], 1
        )
        wanted = targets.repeat(1, len(scales))
        taken, missed = round_columns(
            wanted, wanted, units.expand_as(wanted), factor / diagonal, levels
        )
        cost = (factor.T @ missed).square_().sum(0).view(len(scales), -1)
        least, best = cost.min(0)
        better = least < (factor.T @ excess).square_().sum(0)
        rows = torch.arange(len(best), device=best.device)
        chosen = best * len(best) + rows
        bits = torch.cat([scale.view(torch.uint8) for scale in scales])[chosen, 0]
        self._bits[:, group] = torch.where(better, bits, self._bits[:, group])
        solution.taken[columns] = torch.where(better, taken[:, chosen], solution.taken[columns])
        # Errors are weights less levels: those grow by what levels shrink by.
        return torch.where(better, missed[:, chosen] - excess, 0.0)
