"""Adding up what a token's experts returned, in the order of their choice."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_BLOCK = 512


def combine(
    rows: torch.Tensor,
    weights: torch.Tensor,
    *,
    added: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    target: Target,
) -> torch.Tensor:
    """Compute ``out[t] = sum_j weights[t, j] * rows[t * k + j]``, in float32 and in order.

    Args:
        rows: ``[T * k, N]``; what each choice of each token returned.
        weights: float32 ``[T, k]``.
        added: ``[T, N]``; added at the end, such as the output of a shared expert.
        dtype: Of the result; ``None`` takes that of ``rows``.
        target: What the kernel runs on.

    Returns:
        ``[T, N]``.

    Raises:
        ValueError: An argument has another shape or type.
    """
    return plan_combine(rows, weights, added=added, dtype=dtype, target=target).run()


def plan_combine(
    rows: torch.Tensor,
    weights: torch.Tensor,
    *,
    added: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`combine`."""
    check_tensor("weights", weights, ("T", "k"), torch.float32)
    tokens, top_k = weights.shape
    check_tensor("rows", rows, (tokens * top_k, "N"), FLOAT_TYPES, like=weights)
    width = rows.shape[1]
    if added is not None:
        check_tensor("added", added, (tokens, width), FLOAT_TYPES, like=weights)
    out = rows.new_empty((tokens, width), dtype=dtype or rows.dtype)
    launch = Launch(
        _combine_kernel,
        grid=(tokens, triton.cdiv(width, _BLOCK)),
        arguments={
            "rows_ptr": rows,
            "weights_ptr": weights,
            "added_ptr": added,
            "out_ptr": out,
        },
        constants={"N": width, "TOP_K": top_k, "BLOCK": _BLOCK},
        num_warps=2,
    )
    return Plan((launch,), out)


def combine_torch(
    rows: torch.Tensor,
    weights: torch.Tensor,
    *,
    added: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Compute what :func:`combine` computes, in plain torch."""
    total = torch.zeros(weights.shape[0], rows.shape[1], device=rows.device)
    for choice, weight in enumerate(weights.unbind(1)):
        total += weight.unsqueeze(1) * rows[choice :: weights.shape[1]].float()
    if added is not None:
        total += added.float()
    return total.to(dtype or rows.dtype)


@triton.jit
def _combine_kernel(
    rows_ptr,
    weights_ptr,
    added_ptr,
    out_ptr,
    N: tl.constexpr,
    TOP_K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add up a part of one token's rows."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < N
    total = tl.zeros((BLOCK,), tl.float32)
    for choice in tl.static_range(TOP_K):
        slot = token * TOP_K + choice
        row = tl.load(rows_ptr + slot * N + column, mask=inside, other=0.0)
        total += tl.load(weights_ptr + slot) * row.to(tl.float32)
    if added_ptr is not None:
        added = tl.load(added_ptr + token * N + column, mask=inside, other=0.0)
        total += added.to(tl.float32)
    tl.store(out_ptr + token * N + column, total.to(out_ptr.dtype.element_ty), mask=inside)
