"""Rows that are worked on together."""

import torch

from localfp4.quantize.rounding.limits import NEAREST_WEIGHTS_CPU, NEAREST_WEIGHTS_GPU


def row_pieces(weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split a matrix ``[N, K]`` so that what is computed beside a piece stays near the processor."""
    weights = NEAREST_WEIGHTS_CPU if weight.device.type == "cpu" else NEAREST_WEIGHTS_GPU
    pieces: tuple[torch.Tensor, ...] = weight.split(max(weights // weight.shape[1], 1))
    return pieces
