"""Tokens that may not come: their logits become minus infinity, in place."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.device import target_of
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_WORDS = 64
"""Of a mask that a program reads: 2048 logits, 16 a thread."""

_FORBIDDEN = tl.constexpr(float("-inf"))
_LOWEST = tl.constexpr(torch.finfo(torch.float32).min)


@dataclass(frozen=True, slots=True)
class TokenMasks:
    """Which tokens may come, of some rows of logits ``[R, V]``.

    Attributes:
        rows: int64 ``[G]``, which rows, each once.
        words: int32 ``[G, ceil(V / 32)]``: bit ``t % 32`` of word ``t // 32`` says whether token t
            may come. At least one may in each row.
    """

    rows: torch.Tensor
    words: torch.Tensor


@triton.jit
def _mask_kernel(
    logits_ptr,
    rows_ptr,
    words_ptr,
    V: tl.constexpr,
    WORDS: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Mask SPAN words' tokens of one row."""
    place, block = tl.program_id(0), tl.program_id(1)
    row = logits_ptr + tl.load(rows_ptr + place) * V
    word = block * SPAN + tl.arange(0, SPAN)
    bits = tl.load(words_ptr + place.to(tl.int64) * WORDS + word, mask=word < WORDS, other=0)
    lane = tl.arange(0, 32)[None, :]
    token = word[:, None] * 32 + lane
    x = tl.load(row + token, mask=token < V, other=_FORBIDDEN)
    # Where no allowed token has a logit, NaN for instance, one of them is to come all the same.
    x = tl.where(x > _FORBIDDEN, x, _LOWEST)
    allowed = ((bits[:, None] >> lane) & 1) != 0
    tl.store(row + token, tl.where(allowed, x, _FORBIDDEN), mask=token < V)


def plan_mask_tokens(
    logits: torch.Tensor, masks: TokenMasks, *, target: Target
) -> Plan[torch.Tensor]:
    """Plan :func:`mask_tokens`."""
    check_tensor("logits", logits, ("R", "V"), torch.float32)
    vocab = logits.shape[1]
    words = triton.cdiv(vocab, 32)
    check_tensor("masks.rows", masks.rows, ("G",), torch.int64, like=logits)
    shape = (masks.rows.shape[0], words)
    check_tensor("masks.words", masks.words, shape, torch.int32, like=logits)
    launch = Launch(
        kernel=_mask_kernel,
        grid=(shape[0], triton.cdiv(words, _WORDS)),
        arguments={"logits_ptr": logits, "rows_ptr": masks.rows, "words_ptr": masks.words},
        constants={"V": vocab, "WORDS": words, "SPAN": _WORDS},
    )
    return Plan((launch,), logits)


def mask_tokens(logits: torch.Tensor, masks: TokenMasks) -> torch.Tensor:
    """Make minus infinity of the logits of tokens that may not come, in place.

    Of those that may, NaN and minus infinity become the lowest finite number, so that something
    can be drawn whatever the logits are. Rows without a mask are left alone.

    Args:
        logits: float32 ``[R, V]``.
        masks: Of G of the rows.

    Returns:
        ``logits``.

    Raises:
        ValueError: An argument has another type or shape.
    """
    return plan_mask_tokens(logits, masks, target=target_of(logits.device)).run()


def mask_tokens_torch(logits: torch.Tensor, masks: TokenMasks) -> torch.Tensor:
    """Compute :func:`mask_tokens` in plain torch."""
    lanes = torch.arange(32, device=logits.device)
    bits = (masks.words.unsqueeze(-1) >> lanes) & 1
    allowed = bits.flatten(1)[:, : logits.shape[1]] != 0
    x = logits[masks.rows]
    x = torch.where(x > -torch.inf, x, _LOWEST.value)
    logits[masks.rows] = x.masked_fill(~allowed, -torch.inf)
    return logits
