"""Where top-k and top-p cut a row, found without sorting it.

A *bound* is the key of the last logit that is kept, and how many tokens with exactly this logit
are kept, the lowest ids first: what a stable descending sort would keep. It is found by a radix
search from the highest digit of the keys down. A pass adds up, per digit, the tokens (top-k) or the
masses (top-p) of the logits that share the digits found so far; the next pass takes the digit in
which the sum, with all larger keys, reaches what is wanted. Eight passes fix all 32 bits.
"""

from collections.abc import Iterator, Mapping

import torch
import triton
import triton.language as tl

from localfp4_kernels.launch import Launch
from localfp4_kernels.sampling.numbers import (
    from_key,
    load_shares,
    scale_mass,
    share_of,
    to_mass,
)
from localfp4_kernels.sampling.survey import Blocks, row_peak

LEVELS = 8
"""Passes, of four bits each: 16 sums are few enough for registers."""

_LOWEST_KEY = tl.constexpr(0x007FFFFF)
"""The key of minus infinity; with all its ties, the bound that keeps everything."""

_WEIGHED = ("temperature_ptr", "peak_ptr", "mass_ptr", "ties_ptr", "bound_ptr")


@triton.jit
def weigh_kernel(
    logits_ptr,
    temperature_ptr,
    min_p_ptr,
    bound_ptr,
    peak_ptr,
    mass_ptr,
    ties_ptr,
    V: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Add up the mass above the bound and count the tokens at it, in one block of one row."""
    row, block = tl.program_id(0), tl.program_id(1)
    peak, _ = row_peak(peak_ptr, row, BLOCKS, LANES)
    temperature = tl.load(temperature_ptr + row)
    key, share = load_shares(logits_ptr, row, block, peak, temperature, V, SPAN)
    if min_p_ptr is not None:
        share = tl.where(share >= tl.load(min_p_ptr + row), share, 0.0)
    mass = to_mass(share)
    if bound_ptr is not None:
        bound = tl.load(bound_ptr + 2 * row)
        tie = (key.to(tl.int64) == bound) & (share > 0)
        tl.store(ties_ptr + row * BLOCKS + block, tl.sum(tie.to(tl.int32), 0))
        mass = tl.where(key.to(tl.int64) > bound, mass, 0)
    tl.store(mass_ptr + row * BLOCKS + block, tl.sum(mass, 0))


@triton.jit
def kept_masses(
    mass_ptr,
    ties_ptr,
    bound_ptr,
    peak,
    temperature,
    row,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Return, per block of a row, the mass that is kept and the number of ties before it."""
    block = tl.arange(0, LANES)
    place = row * BLOCKS + block
    mass = tl.load(mass_ptr + place, mask=block < BLOCKS, other=0)
    before = tl.zeros_like(mass)
    if bound_ptr is not None:
        ties = tl.load(ties_ptr + place, mask=block < BLOCKS, other=0).to(tl.int64)
        before = tl.cumsum(ties, 0) - ties
        kept = tl.load(bound_ptr + 2 * row + 1)
        each = _mass_at(tl.load(bound_ptr + 2 * row), peak, temperature)
        mass += tl.minimum(ties, tl.maximum(kept - before, 0)) * each
    return mass, before


@triton.jit
def _mass_at(key, peak, temperature):
    """Return the mass of a token with a key."""
    return to_mass(share_of(from_key(key.to(tl.uint32)), peak, temperature))


@triton.jit
def _tokens_wanted(top_k_ptr, row, V: tl.constexpr):
    """Return how many tokens a row keeps; 0 where it keeps all."""
    wanted = tl.load(top_k_ptr + row).to(tl.int64)
    return tl.where(wanted < V, wanted, 0)


@triton.jit
def _mass_wanted(
    top_p_ptr,
    mass_ptr,
    ties_ptr,
    bound_ptr,
    peak_ptr,
    temperature,
    row,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Return the least mass that a row keeps; 0 where it keeps all."""
    top_p = tl.load(top_p_ptr + row)
    peak, _ = row_peak(peak_ptr, row, BLOCKS, LANES)
    mass, _ = kept_masses(mass_ptr, ties_ptr, bound_ptr, peak, temperature, row, BLOCKS, LANES)
    total = tl.sum(mass, 0)
    # A token stays while the mass before it is below top_p * total, so that this is rounded up.
    wanted = total - scale_mass(total, ((1.0 - top_p) * 2147483648.0).to(tl.int64))
    return tl.where(top_p < 1.0, tl.maximum(wanted, 1), 0)


@triton.jit
def _descend(sums_ptr, state_ptr, row, BLOCKS: tl.constexpr, LANES: tl.constexpr):
    """Read the last pass: return the digits found so far, and what they must still hold."""
    prefix, wanted = tl.load(state_ptr + 2 * row), tl.load(state_ptr + 2 * row + 1)
    block, digit = tl.arange(0, LANES)[:, None], tl.arange(0, 16)[None, :]
    place = (row * BLOCKS + block) * 16 + digit
    sums = tl.sum(tl.load(sums_ptr + place, mask=block < BLOCKS, other=0), 0)
    upwards = tl.cumsum(sums, 0, reverse=True)
    above = upwards - sums
    # Rows that keep all want nothing, and their sums were never written.
    found = (wanted > 0) & (above < wanted) & (wanted <= upwards)
    digit = tl.sum(tl.where(found, tl.arange(0, 16), 0), 0)
    return prefix * 16 + digit, wanted - tl.sum(tl.where(found, above, 0), 0)


@triton.jit(do_not_specialize=["level"])
def _search_kernel(
    logits_ptr,
    temperature_ptr,
    top_k_ptr,
    top_p_ptr,
    peak_ptr,
    mass_ptr,
    ties_ptr,
    bound_ptr,
    state_ptr,
    sums_ptr,
    level,
    V: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """One pass over one block of one row; searches by tokens where ``top_k_ptr`` is given.

    State and sums have a place for every other level, because a pass reads what the one before
    left while it writes its own.
    """
    row, block = tl.program_id(0), tl.program_id(1)
    rows = tl.num_programs(0)
    temperature = tl.load(temperature_ptr + row)
    if level == 0:
        prefix = tl.full((), 0, tl.int64)
        if top_k_ptr is not None:
            wanted = _tokens_wanted(top_k_ptr, row, V)
        else:
            wanted = _mass_wanted(
                top_p_ptr, mass_ptr, ties_ptr, bound_ptr, peak_ptr, temperature, row, BLOCKS, LANES
            )
        wanted = tl.where(temperature > 0, wanted, 0)
    else:
        last = row + rows * ((level - 1) % 2)
        prefix, wanted = _descend(sums_ptr, state_ptr, last, BLOCKS, LANES)
    place = row + rows * (level % 2)
    if block == 0:
        tl.store(state_ptr + 2 * place, prefix)
        tl.store(state_ptr + 2 * place + 1, wanted)
    if wanted > 0:
        peak, _ = row_peak(peak_ptr, row, BLOCKS, LANES)
        key, share = load_shares(logits_ptr, row, block, peak, temperature, V, SPAN)
        # In two steps, as the first pass would shift by 32.
        digits = key >> (28 - 4 * level).to(tl.uint32)
        held = (digits >> 4) == prefix.to(tl.uint32)
        weight = held.to(tl.int64) if top_k_ptr is not None else tl.where(held, to_mass(share), 0)
        for digit in tl.static_range(16):
            found = tl.sum(tl.where((digits & 15) == digit, weight, 0), 0)
            tl.store(sums_ptr + (place * BLOCKS + block) * 16 + digit, found)


@triton.jit
def _settle_kernel(
    temperature_ptr,
    peak_ptr,
    state_ptr,
    sums_ptr,
    bound_ptr,
    BY_TOKENS: tl.constexpr,
    FIRST: tl.constexpr,
    V: tl.constexpr,
    BLOCKS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Write the bound of one row; a later search leaves an earlier bound where it wants nothing."""
    row = tl.program_id(0)
    # The last of an even number of passes is at the second place.
    key, left = _descend(sums_ptr, state_ptr, row + tl.num_programs(0), BLOCKS, LANES)
    if left > 0:
        if not BY_TOKENS:
            peak, _ = row_peak(peak_ptr, row, BLOCKS, LANES)
            each = _mass_at(key, peak, tl.load(temperature_ptr + row))
            left = tl.cdiv(left, tl.maximum(each, 1))
        tl.store(bound_ptr + 2 * row, key)
        tl.store(bound_ptr + 2 * row + 1, left)
    elif FIRST:
        tl.store(bound_ptr + 2 * row, _LOWEST_KEY)
        tl.store(bound_ptr + 2 * row + 1, V)


def search_launches(
    logits: torch.Tensor,
    limit: Mapping[str, torch.Tensor],
    weighed: Mapping[str, torch.Tensor | None],
    bound: torch.Tensor,
    blocks: Blocks,
    *,
    first: bool,
) -> Iterator[Launch]:
    """Plan a search for the bound of every row.

    Args:
        logits: float32 ``[R, V]``.
        limit: Either ``top_k_ptr`` (int32 ``[R]``) or ``top_p_ptr`` (float32 ``[R]``).
        weighed: The arguments of :func:`weigh_kernel`; its results are read where the limit is a
            mass.
        bound: int64 ``[R, 2]``, where the result goes.
        blocks: How rows are cut.
        first: Whether this is the first search of the row.
    """
    rows = logits.shape[0]
    state = logits.new_empty(2, rows, 2, dtype=torch.int64)
    sums = logits.new_empty(2, rows, blocks.count, 16, dtype=torch.int64)
    found = {"state_ptr": state, "sums_ptr": sums}
    for level in range(LEVELS):
        yield Launch(
            kernel=_search_kernel,
            grid=(rows, blocks.count),
            arguments={
                "logits_ptr": logits,
                "top_k_ptr": None,
                "top_p_ptr": None,
                **limit,
                **{name: weighed[name] for name in _WEIGHED},
                **found,
                "level": level,
            },
            constants={**blocks.constants, **blocks.row_constants},
            num_warps=blocks.num_warps,
        )
    yield Launch(
        kernel=_settle_kernel,
        grid=(rows,),
        arguments={
            "temperature_ptr": weighed["temperature_ptr"],
            "peak_ptr": weighed["peak_ptr"],
            **found,
            "bound_ptr": bound,
        },
        constants={
            "BY_TOKENS": "top_k_ptr" in limit,
            "FIRST": first,
            "V": blocks.vocab,
            **blocks.row_constants,
        },
    )
