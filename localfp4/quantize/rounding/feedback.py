"""How the error of one column is made up for by others: the triangle that GPTQ works with."""

from dataclasses import dataclass

import torch

from localfp4.errors import UserError

_MORE_DAMPING = (1.0, 10.0, 100.0)
"""Multiples of the damping that are tried, one after the other."""

_LEAST_DAMPING = 1e-4
"""What the multiples after the first are of, where a recipe asks for less."""


class SolveError(UserError):
    """The inputs of a matrix cannot be used to round it."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """The damped Hessian ``H = L L^T`` in the order in which columns are rounded.

    The error ``d`` of a row costs ``d H d^T = |d L|^2``, whose last term has nothing but the last
    column's error, the one before it the last two, and so on. So columns are rounded from the last
    to the first, and a term vanishes where its column's error is

        ``d_j = -sum(d_i * L[i, j] / L[j, j] for i > j)``.

    That is what a column is moved by before it is rounded. It is GPTQ (arXiv:2210.17323), whose
    errors are spread forwards with the inverse's factor, without an inverse: Chen et al. 2025
    (arXiv:2507.18553) show that it is Babai's nearest plane.

    Attributes:
        order: int64 ``[K]``, the columns; the last is rounded first.
        matrix: float32 ``[K, K]``, ``L[i, j] / L[j, j]`` at ``i > j``, ones at ``i = j``.
        damping: float32 ``[]``, what was added to the diagonal.
    """

    order: torch.Tensor
    matrix: torch.Tensor
    damping: torch.Tensor


def feedback(hessian: torch.Tensor, damping: float) -> Feedback:
    """Damp and factorise a Hessian, its columns ordered by ascending importance.

    Columns that no input used cost their damping alone, and move no others.

    Args:
        hessian: float32 ``[K, K]``, the sum of ``x x^T`` over inputs, times any number.
        damping: Share of the mean diagonal that is added to the diagonal; where that is not enough
            for a factorisation, up to a hundred times as much is.

    Raises:
        SolveError: Inputs were not finite, or no such damping is enough.
    """
    mean = _mean(hessian.diagonal())
    if not mean.isfinite():
        raise SolveError(
            "inputs that are not finite came out of calibration: their mean square is "
            f"{float(mean)}; try another calibration text, or the method rtn."
        )
    order = hessian.diagonal().argsort(stable=True)
    ordered = hessian[order.unsqueeze(1), order]
    added = 0.0
    for times in _MORE_DAMPING:
        wanted = damping if times == 1 else max(damping, _LEAST_DAMPING) * times
        ordered.diagonal().add_(mean, alpha=wanted - added)
        added = wanted
        factor, info = torch.linalg.cholesky_ex(ordered)
        diagonal = factor.diagonal().clone()
        if not info and diagonal.isfinite().all():
            return Feedback(order, factor.div_(diagonal), mean * added)
    raise SolveError(
        f"a Hessian of {len(order)} columns cannot be factorised, even with {added:.0%} of its mean "
        "diagonal added; calibrate with more samples, or with another text."
    )


def _mean(diagonal: torch.Tensor) -> torch.Tensor:
    """Return the mean of a diagonal; 1 where no input was anything but zero."""
    mean = diagonal.mean()
    return torch.where(mean == 0, 1.0, mean)
