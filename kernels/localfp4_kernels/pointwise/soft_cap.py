"""Capping logits smoothly, ``cap * tanh(logits / cap)`` (Gemma 2, arXiv:2408.00118)."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_BLOCK = 4096


def soft_cap_torch(logits: torch.Tensor, cap: float) -> torch.Tensor:
    """Cap logits in place, in their own type."""
    return logits.div_(cap).tanh_().mul_(cap)


@triton.jit
def _soft_cap_kernel(logits_ptr, cap, V: tl.constexpr, BLOCK: tl.constexpr):
    """Cap ``BLOCK`` columns of row ``program_id(0)``."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    logits = tl.load(logits_ptr + row * V + column, column < V).to(tl.float32)
    # tanh|x| = (1 - e) / (1 + e) with e = exp(-2|x|) cannot overflow.
    decay = tl.exp(tl.abs(logits) * (-2.0 / cap))
    capped = cap * (1.0 - decay) / (1.0 + decay)
    capped = tl.where(logits < 0.0, -capped, capped)
    tl.store(logits_ptr + row * V + column, capped.to(logits_ptr.dtype.element_ty), column < V)


def plan_soft_cap(logits: torch.Tensor, cap: float, *, target: Target) -> Plan[torch.Tensor]:
    """Plan :func:`soft_cap`."""
    check_tensor("logits", logits, ("R", "V"), FLOAT_TYPES)
    if not cap > 0:
        raise ValueError(f"cap must be positive, not {cap}")
    rows, vocab = logits.shape
    launch = Launch(
        _soft_cap_kernel,
        (rows, triton.cdiv(vocab, _BLOCK)),
        {"logits_ptr": logits, "cap": float(cap)},
        {"V": vocab, "BLOCK": _BLOCK},
        num_warps=8,
    )
    return Plan((launch,), logits)


def soft_cap(logits: torch.Tensor, cap: float, *, target: Target) -> torch.Tensor:
    """Cap logits in place, ``cap * tanh(logits / cap)``, in float32.

    Args:
        logits: ``[R, V]``.
        cap: What magnitudes approach.
        target: What to run on.

    Raises:
        ValueError: ``logits`` does not fit or ``cap`` is not positive.
    """
    return plan_soft_cap(logits, cap, target=target).run()
