"""From scores to weights: scale, soft-cap, sinks, and the softmax over tiles that come one by one.

The running softmax (Milakov & Gimelshein 2018; Dao et al. 2022) is kept in base 2, because GPUs
have ``exp2``. Weights are relative to a reference that lies 2^8 below the largest, so that in
float16 they keep their bits when they are multiplied by a small scale of a value.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor

LOG2_E = tl.constexpr(math.log2(math.e))
NOTHING = tl.constexpr(-1e30)
"""Reference of a softmax over no tokens; infinity would make NaN of a row without any."""
_HEADROOM = tl.constexpr(8)
QUERY_UNIT = tl.constexpr(16)
"""Queries are divided by this, exactly, so that those beyond 65504 do not overflow in float16."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How products of queries and keys become logits, checked.

    Attributes:
        scale: Multiplies them.
        window: Sliding window in tokens, the query included; ``None`` sees everything.
        soft_cap: ``c`` of ``c tanh(x / c)``, or ``None``.
        sinks: ``[Hq]``, a logit per head that takes weight and gives no value, or ``None``.
    """

    scale: float
    window: int | None
    soft_cap: float | None
    sinks: torch.Tensor | None

    def arguments(self, k_factor: float) -> dict[str, torch.Tensor | float | None]:
        """Return what kernels are given; ``k_factor`` is the scale of all cached keys."""
        # The capped logit is computed from exp2(2 x log2(e) / c).
        unit = (
            self.scale
            * LOG2_E.value
            * QUERY_UNIT.value
            * (2 / self.soft_cap if self.soft_cap else 1)
        )
        cap = (self.soft_cap or 0.0) * LOG2_E.value
        return {"factor": unit, "k_factor": k_factor, "cap": cap, "sinks_ptr": self.sinks}

    def constants(self) -> dict[str, Any]:
        """Return the constants of kernels."""
        return {"WINDOW": self.window, "SOFT_CAP": self.soft_cap is not None}


def checked_scoring(
    scale: float,
    window: int | None,
    soft_cap: float | None,
    sinks: torch.Tensor | None,
    heads: int,
    like: torch.Tensor,
) -> Scoring:
    """Check the arguments that describe the scores.

    Raises:
        ValueError: One of them is out of range.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be a positive number, not {scale}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 token, or None, not {window}")
    if soft_cap is not None and not 0 < soft_cap < math.inf:
        raise ValueError(f"soft_cap must be a positive number, or None, not {soft_cap}")
    if sinks is not None:
        check_tensor(
            "sinks", sinks, (heads,), (torch.float32, torch.bfloat16, torch.float16), like=like
        )
    return Scoring(scale, window, soft_cap, sinks)


@triton.jit
def base2_logits(score, factor, cap, SOFT_CAP: tl.constexpr):
    """Scale scores, to logits in base 2; see :class:`Scoring` for ``factor`` and ``cap``."""
    scaled = score * factor
    if SOFT_CAP:
        # tanh(x) = 1 - 2 / (1 + exp(2x)), which is 1 where the exponential overflows.
        return cap - 2 * cap / (1 + tl.exp2(scaled))
    return scaled


@triton.jit
def start_softmax(sinks_ptr, head, given, takes_sink, ROWS: tl.constexpr):
    """Return reference and total of rows that have seen no token yet, or only their sink."""
    reference = tl.full((ROWS,), NOTHING, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    if sinks_ptr is not None:
        sink = tl.load(sinks_ptr + head, mask=given, other=0).to(tl.float32) * LOG2_E
        reference = tl.where(takes_sink, sink, reference)
        total = tl.where(takes_sink, 1.0, total)
    return reference, total


@triton.jit
def add_tile(logits, reference, total, acc):
    """Return the weights of a tile, and reference, total and sum of values with it in mind."""
    largest = tl.maximum(reference, tl.max(logits, 1) - _HEADROOM)
    weights = tl.exp2(logits - largest[:, None])
    decay = tl.exp2(reference - largest)
    return weights, largest, total * decay + tl.sum(weights, 1), acc * decay[:, None]


@triton.jit
def weighted_mean(acc, total):
    """Divide the sum of values by the total of the weights; rows without weight give 0."""
    return acc / tl.where(total > 0, total, 1.0)[:, None]
