"""Drawing the next token of every row: temperature, top-k, top-p, min-p and a seeded number.

Nothing is sorted and nothing waits for the host. The number walks the kept masses in the order of
token ids, all in integers, so that a row's token depends on its logits, parameters, seed and
position alone: not on its neighbours, and not on how many blocks a row was cut into.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.device import target_of
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.sampling.bound import kept_masses, search_launches, weigh_kernel
from localfp4_kernels.sampling.greedy import (
    Choice,
    check_logits,
    choose_greedily_torch,
    empty_choice,
    logprobs_torch,
)
from localfp4_kernels.sampling.numbers import COLDEST, MASS_UNIT, load_shares, scale_mass, to_mass
from localfp4_kernels.sampling.philox import random_31_bits_torch
from localfp4_kernels.sampling.random_bits import random_31_bits
from localfp4_kernels.sampling.survey import Blocks, row_logprob, row_peak, survey_launch
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class RowParams:
    """How each row is drawn; all tensors ``[R]``.

    The three limits may be ``None`` where no row has them, which saves their passes.

    Attributes:
        temperature: float32; 0 is greedy.
        seed: int64.
        position: int64, of the token in its sequence: another one gives another random number.
        top_k: int32, the number of tokens to keep; 0 keeps all.
        top_p: float32 in (0, 1]: keep the smallest set of tokens whose probabilities, after top-k,
            reach this sum (Holtzman et al. 2020).
        min_p: float32 in [0, 1]: drop tokens less probable than this share of the most probable
            one (Nguyen et al. 2024).
    """

    temperature: torch.Tensor
    seed: torch.Tensor
    position: torch.Tensor
    top_k: torch.Tensor | None = None
    top_p: torch.Tensor | None = None
    min_p: torch.Tensor | None = None


@triton.jit
def _draw_kernel(
    logits_ptr,
    unmodified_ptr,
    temperature_ptr,
    seed_ptr,
    position_ptr,
    min_p_ptr,
    peak_ptr,
    best_ptr,
    raw_peak_ptr,
    raw_sum_ptr,
    mass_ptr,
    ties_ptr,
    bound_ptr,
    token_ptr,
    logprob_ptr,
    V: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Find the block of one row in which the random number falls, then the token."""
    row = tl.program_id(0)
    temperature = tl.load(temperature_ptr + row)
    peak, block = row_peak(peak_ptr, row, BLOCKS, LANES)
    chosen = tl.load(best_ptr + row * BLOCKS + block)
    if temperature > 0:
        mass, ties = kept_masses(
            mass_ptr, ties_ptr, bound_ptr, peak, temperature, row, BLOCKS, LANES
        )
        number = random_31_bits(tl.load(seed_ptr + row), tl.load(position_ptr + row))
        goal = scale_mass(tl.sum(mass, 0), number)
        block, goal = _walk(mass, goal)
        key, share = load_shares(logits_ptr, row, block, peak, temperature, V, SPAN)
        if min_p_ptr is not None:
            share = tl.where(share >= tl.load(min_p_ptr + row), share, 0.0)
        mass = to_mass(share)
        if bound_ptr is not None:
            before = tl.sum(tl.where(tl.arange(0, LANES) == block, ties, 0), 0)
            bound, kept = tl.load(bound_ptr + 2 * row), tl.load(bound_ptr + 2 * row + 1)
            tie = (key.to(tl.int64) == bound) & (share > 0)
            rank = before + tl.cumsum(tie.to(tl.int64), 0)
            mass = tl.where((key.to(tl.int64) > bound) | (tie & (rank <= kept)), mass, 0)
        place, _ = _walk(mass, goal)
        chosen = block * SPAN + place
    logit = tl.load(unmodified_ptr + row.to(tl.int64) * V + chosen)
    tl.store(token_ptr + row, chosen.to(tl.int64))
    tl.store(logprob_ptr + row, row_logprob(logit, raw_peak_ptr, raw_sum_ptr, row, BLOCKS, LANES))


@triton.jit
def _walk(mass, goal):
    """Return the place in whose mass the goal lies, and how far into it."""
    reached = tl.cumsum(mass, 0)
    passed = reached <= goal
    return tl.sum(passed.to(tl.int32), 0), goal - tl.sum(tl.where(passed, mass, 0), 0)


def plan_choose(
    logits: torch.Tensor,
    params: RowParams,
    unmodified: torch.Tensor | None = None,
    *,
    target: Target,
) -> Plan[Choice]:
    """Plan :func:`choose`."""
    check_logits(logits, unmodified)
    _check_params(params, logits)
    choice = empty_choice(logits)
    return Plan(tuple(_launches(logits, params, unmodified, choice, target)), choice)


def _launches(
    logits: torch.Tensor,
    params: RowParams,
    unmodified: torch.Tensor | None,
    choice: Choice,
    target: Target,
) -> Iterator[Launch]:
    rows = logits.shape[0]
    blocks = Blocks.of(logits.shape[1], target)
    launch, survey = survey_launch(logits, unmodified, blocks)
    yield launch
    weighed: dict[str, torch.Tensor | None] = {
        "temperature_ptr": params.temperature,
        "bound_ptr": None,
        "peak_ptr": survey.peak,
        "mass_ptr": logits.new_empty(rows, blocks.count, dtype=torch.int64),
        "ties_ptr": logits.new_empty(rows, blocks.count, dtype=torch.int32),
    }
    bound = logits.new_empty(rows, 2, dtype=torch.int64)
    if params.top_k is not None:
        yield from search_launches(
            logits, {"top_k_ptr": params.top_k}, weighed, bound, blocks, first=True
        )
        weighed["bound_ptr"] = bound
    if params.top_p is not None:
        yield _weigh(logits, weighed, None, blocks)
        yield from search_launches(
            logits,
            {"top_p_ptr": params.top_p},
            weighed,
            bound,
            blocks,
            first=params.top_k is None,
        )
        weighed["bound_ptr"] = bound
    yield _weigh(logits, weighed, params.min_p, blocks)
    yield Launch(
        kernel=_draw_kernel,
        grid=(rows,),
        arguments={
            "logits_ptr": logits,
            "unmodified_ptr": logits if unmodified is None else unmodified,
            "seed_ptr": params.seed,
            "position_ptr": params.position,
            "min_p_ptr": params.min_p,
            **weighed,
            **survey.arguments,
            "token_ptr": choice.tokens,
            "logprob_ptr": choice.logprobs,
        },
        constants={**blocks.constants, **blocks.row_constants},
        num_warps=blocks.num_warps,
    )


def _weigh(
    logits: torch.Tensor,
    weighed: dict[str, torch.Tensor | None],
    min_p: torch.Tensor | None,
    blocks: Blocks,
) -> Launch:
    return Launch(
        kernel=weigh_kernel,
        grid=(logits.shape[0], blocks.count),
        arguments={"logits_ptr": logits, "min_p_ptr": min_p, **weighed},
        constants={**blocks.constants, **blocks.row_constants},
        num_warps=blocks.num_warps,
    )


def choose(
    logits: torch.Tensor, params: RowParams, unmodified: torch.Tensor | None = None
) -> Choice:
    """Draw one token per row.

    Order: temperature, top-k, top-p, min-p, then the draw. Of tokens with equal logits, top-k and
    top-p keep the lowest ids first; min-p keeps all or none of them. The token with the largest
    logit always stays. A token less probable than 2**-40 of it is never drawn.

    Args:
        logits: float32 ``[R, V]``. NaN counts as minus infinity; where all are minus infinity, all
            are equal.
        params: How each row is drawn.
        unmodified: Logits before penalties, for the log-probability; the same where ``None``.

    Raises:
        ValueError: An argument has another type or shape.
    """
    return plan_choose(logits, params, unmodified, target=target_of(logits.device)).run()


def choose_torch(
    logits: torch.Tensor, params: RowParams, unmodified: torch.Tensor | None = None
) -> Choice:
    """Compute :func:`choose` in plain torch, by sorting."""
    masses = kept_masses_torch(logits, params)
    reached = masses.cumsum(-1)
    number = random_31_bits_torch(params.seed, params.position)
    total = reached[:, -1]
    goal = (total >> 31) * number + ((total & 0x7FFFFFFF) * number >> 31)
    drawn = torch.searchsorted(reached, goal.unsqueeze(-1), right=True).squeeze(-1)
    greedy = choose_greedily_torch(logits).tokens
    tokens = torch.where(params.temperature > 0, drawn, greedy)
    return Choice(tokens, logprobs_torch(logits if unmodified is None else unmodified, tokens))


def kept_masses_torch(logits: torch.Tensor, params: RowParams) -> torch.Tensor:
    """Return int64 ``[R, V]``: what each token has of the distribution, 0 where it is dropped."""
    logits = logits.masked_fill(logits.isnan(), -torch.inf)
    below = (logits - logits.amax(-1, keepdim=True)).nan_to_num(nan=0, neginf=-torch.inf)
    shares = (below / params.temperature.clamp_min(COLDEST.value).unsqueeze(-1)).exp()
    masses = (shares * MASS_UNIT.value).long()
    order = logits.sort(dim=-1, descending=True, stable=True).indices
    ranked = masses.gather(-1, order)
    if params.top_k is not None:
        rank = torch.arange(logits.shape[1], device=logits.device)
        top_k = params.top_k.unsqueeze(-1)
        ranked = ranked.masked_fill((top_k > 0) & (rank >= top_k), 0)
    if params.top_p is not None:
        before = ranked.cumsum(-1) - ranked
        wanted = params.top_p.double() * ranked.sum(-1)
        dropped = (before >= wanted.unsqueeze(-1)) & (params.top_p < 1).unsqueeze(-1)
        dropped[:, 0] = False
        ranked = ranked.masked_fill(dropped, 0)
    kept = torch.zeros_like(masses).scatter(-1, order, ranked)
    if params.min_p is not None:
        kept = kept.masked_fill(shares < params.min_p.unsqueeze(-1), 0)
    return kept


def _check_params(params: RowParams, logits: torch.Tensor) -> None:
    kinds = {
        "temperature": torch.float32,
        "seed": torch.int64,
        "position": torch.int64,
        "top_k": torch.int32,
        "top_p": torch.float32,
        "min_p": torch.float32,
    }
    for name, dtype in kinds.items():
        value = getattr(params, name)
        if value is not None:
            check_tensor(f"params.{name}", value, (logits.shape[0],), dtype, like=logits)
