"""What all rows of a matrix share while errors are fed back, and how far some of them are."""

from dataclasses import dataclass

import torch

from localfp4.quantize.recipe import ScaleRule
from localfp4.quantize.rounding.codes import GlobalScale
from localfp4.quantize.rounding.feedback import Feedback
from localfp4.quantize.rounding.grid import Grid
from localfp4.quantize.rounding.levels import Levels


@dataclass(frozen=True, slots=True)
class Problem:
    """A matrix without its weights.

    Attributes:
        numbers: Of the format.
        levels: Likewise.
        global_scale: Of the matrix.
        rule: How the scales of groups are chosen.
        hessian: float32 ``[K, K]``, of the inputs.
        feedback: Of the damped Hessian.
    """

    numbers: Grid
    levels: Levels
    global_scale: GlobalScale | None
    rule: ScaleRule
    hessian: torch.Tensor
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Solution:
    """Some rows, rounded. Columns of a matrix are rows here, so that each is a vector in memory.

    Attributes:
        weight: float32 ``[K, N]``.
        taken: uint8 ``[K, N]``, the level that each weight took.
        wrong: float32 ``[K, N]``, each weight less that level.
        scale: ``[N, groups]``, as it is stored.
    """

    weight: torch.Tensor
    taken: torch.Tensor
    wrong: torch.Tensor
    scale: torch.Tensor

    def in_places(self, order: torch.Tensor) -> "Solution":
        """Return it with columns that were in ``order``, int64 ``[K]``, back in their places."""
        places = order.argsort()
        return Solution(self.weight[places], self.taken[places], self.wrong[places], self.scale)
