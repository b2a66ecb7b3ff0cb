"""Products with a weight that never changes, ``y = x W^T + b``, on a CPU."""

import torch
from torch.nn import functional

_ROWS_HINT = 8
"""Rows of ``x`` the blocked layout is chosen for; it serves 1 to 64 rows about equally well."""


def pack_linear_torch(weight: torch.Tensor) -> torch.Tensor | None:
    """Return a weight in oneDNN's blocked layout, or ``None`` where that cannot be had.

    Decoding reads every weight once a token, and the blocked layout is read as one stream. All
    linear layers of a 5M-parameter model, one pass, two cores of an AMD EPYC with AVX-512,
    torch 2.13: at 1 row 2.6 ms as stored and 1.2 ms packed in float32, 0.95 and 0.57 ms in
    bfloat16; at 8 rows 3.7 and 1.5 ms, 1.3 and 0.8 ms (``kernels/bench/linear.py``).

    Args:
        weight: ``[N, K]`` on the CPU; it is not needed afterwards.
    """
    if weight.device.type != "cpu" or not _onednn_multiplies(weight.dtype):
        return None
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_HINT)
    return packed


def packed_linear_torch(
    x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Return ``[T, N]`` for ``x`` ``[T, K]``, T at least 1, and a weight of the same type."""
    if x.requires_grad:  # oneDNN's operator has no gradient
        return functional.linear(x, packed.to_dense(), bias)
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return y


def _onednn_multiplies(dtype: torch.dtype) -> bool:
    """Say whether oneDNN has products in a type here; bfloat16 needs AVX-512 or AVX-NE-CONVERT."""
    if not (
        torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    ):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32
