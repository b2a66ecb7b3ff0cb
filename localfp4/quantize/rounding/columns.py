"""Rounding columns one after the other, each moved by what those before it got wrong."""

import torch

from localfp4.quantize.rounding.levels import Levels


def round_columns(
    targets: torch.Tensor,
    weight: torch.Tensor,
    units: torch.Tensor,
    matrix: torch.Tensor,
    levels: Levels,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Round columns from the last to the first.

    Columns of a matrix are rows here, so that each is a vector in memory.

    Args:
        targets: float32 ``[M, N]``, where columns that were rounded earlier have moved these.
        weight: float32 ``[M, N]``, where they were.
        units: float32 ``[M, N]``, what a value of 1 stands for.
        matrix: float32 ``[M, M]``, the part of :attr:`Feedback.matrix` for these columns.
        levels: What is rounded to.

    Returns:
        Which level each weight took, uint8 ``[M, N]``, and ``weight`` less that level, float32
        ``[M, N]``.
    """
    taken = torch.empty_like(weight, dtype=torch.uint8)
    wrong = torch.empty_like(weight)
    for column in range(len(weight) - 1, -1, -1):
        after = slice(column + 1, None)
        target = torch.addmv(targets[column], wrong[after].T, matrix[after, column])
        level = torch.bucketize(target / units[column], levels.boundaries, out_int32=True)
        taken[column] = level
        value = levels.values.index_select(0, level)
        torch.addcmul(weight[column], value, units[column], value=-1, out=wrong[column])
    return taken, wrong
