"""The most probable token of every row."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.device import target_of
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.sampling.survey import Blocks, row_logprob, row_peak, survey_launch
from localfp4_kernels.target import Target

MAX_VOCAB = 2**20
"""Most logits in a row; the longest vocabularies in use have 2**18."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, per row.

    Attributes:
        tokens: int64 ``[R]``.
        logprobs: float32 ``[R]``, their log-probabilities under the unmodified distribution.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor


@triton.jit
def _greedy_kernel(
    unmodified_ptr,
    peak_ptr,
    best_ptr,
    raw_peak_ptr,
    raw_sum_ptr,
    token_ptr,
    logprob_ptr,
    V: tl.constexpr,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Compare the blocks of one row."""
    row = tl.program_id(0)
    _, block = row_peak(peak_ptr, row, BLOCKS, LANES)
    token = tl.load(best_ptr + row * BLOCKS + block).to(tl.int64)
    logit = tl.load(unmodified_ptr + row.to(tl.int64) * V + token)
    tl.store(token_ptr + row, token)
    tl.store(logprob_ptr + row, row_logprob(logit, raw_peak_ptr, raw_sum_ptr, row, BLOCKS, LANES))


def plan_choose_greedily(
    logits: torch.Tensor, unmodified: torch.Tensor | None = None, *, target: Target
) -> Plan[Choice]:
    """Plan :func:`choose_greedily`."""
    check_logits(logits, unmodified)
    blocks = Blocks.of(logits.shape[1], target)
    launch, survey = survey_launch(logits, unmodified, blocks)
    choice = empty_choice(logits)
    finish = Launch(
        kernel=_greedy_kernel,
        grid=(logits.shape[0],),
        arguments={
            "unmodified_ptr": logits if unmodified is None else unmodified,
            **survey.arguments,
            "token_ptr": choice.tokens,
            "logprob_ptr": choice.logprobs,
        },
        constants={"V": blocks.vocab, **blocks.row_constants},
        num_warps=1,
    )
    return Plan((launch, finish), choice)


def choose_greedily(logits: torch.Tensor, unmodified: torch.Tensor | None = None) -> Choice:
    """Choose the token with the largest logit per row, the lowest id among equals.

    Args:
        logits: float32 ``[R, V]``. NaN counts as minus infinity.
        unmodified: Logits before penalties, for the log-probability; the same where ``None``.

    Raises:
        ValueError: An argument has another type or shape.
    """
    return plan_choose_greedily(logits, unmodified, target=target_of(logits.device)).run()


def choose_greedily_torch(logits: torch.Tensor, unmodified: torch.Tensor | None = None) -> Choice:
    """Compute :func:`choose_greedily` in plain torch."""
    tokens = logits.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).argmax(-1)
    return Choice(tokens, logprobs_torch(logits if unmodified is None else unmodified, tokens))


def logprobs_torch(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of one token per row."""
    return logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def check_logits(logits: torch.Tensor, unmodified: torch.Tensor | None) -> None:
    """Check what every way of choosing takes.

    Raises:
        ValueError: An argument has another type or shape.
    """
    check_tensor("logits", logits, ("R", "V"), torch.float32)
    if not 0 < logits.shape[1] <= MAX_VOCAB:
        raise ValueError(f"logits must have 1 to {MAX_VOCAB} columns, not {logits.shape[1]}")
    if unmodified is not None:
        check_tensor("unmodified", unmodified, logits.shape, torch.float32, like=logits)


def empty_choice(logits: torch.Tensor) -> Choice:
    """Allocate the result for logits ``[R, V]``."""
    rows = logits.shape[0]
    return Choice(logits.new_empty(rows, dtype=torch.int64), logits.new_empty(rows))
