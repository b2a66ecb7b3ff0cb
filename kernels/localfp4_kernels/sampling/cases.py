"""The launches of this family that a model needs."""

from collections.abc import Iterator
from itertools import product

import torch

from localfp4_kernels.cases import Case, Gate, ModelShape
from localfp4_kernels.launch import Launch
from localfp4_kernels.sampling.choose import RowParams, plan_choose
from localfp4_kernels.sampling.greedy import plan_choose_greedily
from localfp4_kernels.sampling.mask import TokenMasks, plan_mask_tokens
from localfp4_kernels.sampling.penalties import (
    Biases,
    Penalties,
    SeenTokens,
    plan_add_biases,
    plan_penalise,
)
from localfp4_kernels.target import Target

_ROWS = 4


def sampling_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    logits = _vector(torch.float32).new_empty(_ROWS, shape.vocab)
    seen = set()
    for launch in _launches(logits, target):
        name = f"sample {shape.vocab} {_name(launch)}"
        if name not in seen:
            seen.add(name)
            streams = "SPAN" in launch.constants and len(launch.grid) == 2
            yield Case(name, launch, Gate(registers=128, wide_loads=streams))


def _launches(logits: torch.Tensor, target: Target) -> Iterator[Launch]:
    """Plan rows that are greedy, free, or restricted in each way on its own and in all."""
    starts, tokens, share = (_vector(t) for t in (torch.int32, torch.int64, torch.float32))
    starts = starts.new_empty(_ROWS + 1)
    for latest in (None, tokens):
        listed = SeenTokens(starts, tokens, tokens.int(), latest)
        penalties = Penalties(share, share, share)
        yield from plan_penalise(logits, listed, penalties, target=target).launches
    yield from plan_add_biases(logits, Biases(starts, tokens, share), target=target).launches
    words = tokens.int().new_empty(_ROWS, -(-logits.shape[1] // 32))
    yield from plan_mask_tokens(logits, TokenMasks(tokens, words), target=target).launches
    yield from plan_choose_greedily(logits, target=target).launches
    yield from plan_choose_greedily(logits, logits, target=target).launches
    for top_k, top_p, min_p in product((None, tokens.int()), (None, share), (None, share)):
        params = RowParams(share, tokens, tokens, top_k, top_p, min_p)
        yield from plan_choose(logits, params, target=target).launches


def _vector(dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(_ROWS, dtype=dtype, device="meta")


def _name(launch: Launch) -> str:
    """Name the kernel and what sets its compilation apart: limits that are given, switches."""
    kernel = launch.kernel.__name__.strip("_").removesuffix("_kernel")
    given = [
        name.removesuffix("_ptr")
        for name in (
            "latest_ptr",
            "unmodified_ptr",
            "top_k_ptr",
            "top_p_ptr",
            "min_p_ptr",
            "bound_ptr",
        )
        if launch.arguments.get(name) is not None
    ]
    switches = [name.lower() for name in ("BY_TOKENS", "FIRST") if launch.constants.get(name)]
    return " ".join([kernel, *given, *switches])
