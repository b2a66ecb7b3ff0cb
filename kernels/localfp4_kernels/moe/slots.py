"""Slots: the choices of all tokens in a row; slot ``t * k + j`` is the j-th choice of token t."""

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor


def check_slots(
    inputs: int,
    shape: tuple[int, int],
    bias: torch.Tensor | None,
    bias_shape: tuple[int, int],
    out_dtype: torch.dtype,
    *,
    like: torch.Tensor,
) -> int:
    """Check what surrounds a product with experts' matrices ``[E, N, K]``.

    Args:
        inputs: Rows of the activation: T, or one per slot.
        shape: Tokens T and choices k.
        bias: ``[E, N]`` or ``None``.
        bias_shape: What it must be.
        out_dtype: Of the result.
        like: A tensor on the device.

    Returns:
        How many slots share a row of the activation.

    Raises:
        ValueError: Something does not fit.
    """
    tokens, top_k = shape
    if inputs not in (tokens, tokens * top_k):
        raise ValueError(f"x must have {tokens} or {tokens * top_k} rows, not {inputs}")
    if bias is not None:
        check_tensor("bias", bias, bias_shape, FLOAT_TYPES, like=like)
    if out_dtype not in FLOAT_TYPES:
        raise ValueError(f"out_dtype must be bfloat16, float16 or float32, not {out_dtype}")
    return top_k if inputs == tokens else 1
