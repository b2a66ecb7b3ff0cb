"""How far a rounded matrix is from the original."""

import torch

from localfp4.quantize.rounding.codes import Codes

_PIECE = 2**22
"""Weights that are compared at once."""


def weight_error(weight: torch.Tensor, codes: Codes) -> float:
    """Return the squared error of the weights over their squares; 0 where all are zero.

    Args:
        weight: ``[N, K]``, the original.
        codes: Of the same rows.
    """
    return _relative(weight, codes, None)


def output_error(weight: torch.Tensor, codes: Codes, hessian: torch.Tensor) -> float:
    """Return the squared error of what a matrix puts out over the squares of what it should.

    That is ``tr(E H E^T) / tr(W H W^T)`` for the error E of the weights W: no inputs are needed but
    the sum of their outer products.

    Args:
        weight: ``[N, K]``, the original.
        codes: Of the same rows.
        hessian: float32 ``[K, K]``, the sum of ``x x^T`` over inputs, times any number.
    """
    return _relative(weight, codes, hessian)


def _relative(weight: torch.Tensor, codes: Codes, hessian: torch.Tensor | None) -> float:
    wrong = whole = 0.0
    step = max(_PIECE // weight.shape[1], 1)
    for start in range(0, weight.shape[0], step):
        rows = weight[start : start + step].float()
        wrong += _squares(codes.rows(start, start + step).dequantised() - rows, hessian)
        whole += _squares(rows, hessian)
    return wrong / whole if whole else 0.0


def _squares(rows: torch.Tensor, hessian: torch.Tensor | None) -> float:
    reached = rows if hessian is None else rows @ hessian
    return float((reached * rows).sum(dtype=torch.float64))
