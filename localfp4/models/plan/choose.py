"""Choosing types, placement, context and cache for the memory that is free."""

import math
from dataclasses import replace

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.errors import ContextError
from localfp4.models.placement import Placement, seconds_per_token
from localfp4.models.plan.budget import Budget, Draft, budget_of
from localfp4.models.plan.dtypes import kv_cache_dtype
from localfp4.models.plan.machine import Machine
from localfp4.models.plan.memory_plan import MemoryPlan, gib
from localfp4.models.plan.place import (
    LEAST_CONTEXT,
    barest_placement,
    choose_placement,
    host_bytes_lacking,
)
from localfp4.models.plan.pools import whole_pages
from localfp4.models.plan.refusals import Needs, does_not_fit, longer_than_cache, too_long
from localfp4.models.spec import DecoderSpec
from localfp4.models.weight_sizes import WeightSizes

_STATE_SHARE = 0.25
"""Most of what the weights leave that the states of recurrent layers may take."""

_SNAPSHOT_SHARE = 0.25
"""Part of these that is kept for snapshots, however many sequences there are."""

_MOST_SNAPSHOTS = 64

_CONVERSATIONS = 2
"""Sequences for which windows have room before a longer context takes it: one that is read, and
one beside it, such as the request for its title."""

_LONG = 8192
"""Tokens of context that one sequence gets before windows have room for another."""

_SHORT = 2048
"""Tokens of a sequence where many run: for as many as that fit, windows have room, too."""

_TYPICAL_CONTEXT = 2048
"""Tokens of the conversation for which a speed is told."""


def plan_memory(
    config: EngineConfig,
    spec: DecoderSpec,
    sizes: WeightSizes,
    machine: Machine,
    *,
    dtype: str,
    draft: Draft | None = None,
) -> MemoryPlan:
    """Choose the placement, context length and cache size for the memory that is free.

    An automatic context shrinks until it fits; an explicit one is kept or refused. The cache gets
    room for every sequence of a full batch if half of what the weights leave is enough for that.
    States of recurrent layers make the batch smaller where a part of the memory is not enough for
    them, or where an explicit context or cache needs it.

    Args:
        config: What the user asked for.
        spec: The model.
        sizes: Its weights as they will lie in memory.
        machine: Where.
        dtype: Compute type.
        draft: A smaller model beside it.

    Raises:
        ContextError: The weights, or the context that was asked for, do not fit.
    """
    config = _within(config, spec)
    _check_request(config, spec)
    kv_dtype = kv_cache_dtype(config, machine, dtype)
    budget = budget_of(config, spec, sizes, machine, dtype, kv_dtype, draft)
    placement = choose_placement(budget)
    slots, snapshots = _state_slots(budget, placement)
    room = budget.left(placement, slots + snapshots)
    context = _context(budget, placement, room)
    room -= budget.workspace(context)
    batch = slots or config.max_batch
    tokens = _cache_tokens(budget, room, context, batch)
    sequences = _sequences(budget, room, tokens, batch)
    pages = budget.pools.pages(tokens, sequences)
    together = min(batch, tokens // context, sequences if budget.pools.has_windows else batch)
    return MemoryPlan(
        dtype=dtype,
        kv_dtype=kv_dtype,
        weight_bytes=budget.weights(placement) - budget.staging(placement),
        staging_bytes=budget.staging(placement),
        host_bytes=budget.host_bytes(placement),
        placement=placement,
        kv_bytes_per_token=budget.per_token,
        kv_cache_tokens=tokens,
        kv_cache_bytes=budget.pools.nbytes(pages),
        group_pages=pages,
        max_model_len=context,
        conversations=max(together, 1),
        workspace_bytes=budget.workspace(context),
        reserve_bytes=machine.reserve_bytes,
        state_bytes=budget.per_state,
        state_slots=slots,
        state_snapshots=snapshots,
        loading_bytes=budget.loading,
        limit_tokens_per_s=_limit(budget, placement, context),
    )


def _within(config: EngineConfig, spec: DecoderSpec) -> EngineConfig:
    """Return a config that asks for no longer a context than a model has, if it may be shortened."""
    wanted = config.max_model_len
    if not config.shortens_context or wanted is None or wanted <= spec.max_context:
        return config
    return replace(config, max_model_len=spec.max_context)


def _check_request(config: EngineConfig, spec: DecoderSpec) -> None:
    wanted, tokens = config.max_model_len, config.kv_cache_tokens
    if wanted is not None and wanted > spec.max_context:
        raise too_long(wanted, spec)
    if wanted is not None and tokens is not None and whole_pages(tokens) < wanted:
        raise longer_than_cache(wanted, whole_pages(tokens))


def _state_slots(budget: Budget, placement: Placement) -> tuple[int, int]:
    """Return how many sequences can carry their states along, and how many snapshots are kept.

    One sequence always runs: whether there is room for it shows when the rest is planned.
    """
    if not budget.per_state:
        return 0, 0
    config = budget.config
    asked = max(config.max_model_len or 0, config.kv_cache_tokens or 0)
    longest = config.max_model_len or asked or LEAST_CONTEXT
    left = budget.left(placement, 0) - budget.workspace(longest)
    explicit = budget.cache(asked, 1) if asked else 0
    room = min(int(left * _STATE_SHARE), left - explicit) // budget.per_state
    if budget.is_exact:
        room = (left - explicit) // budget.per_state
    if not config.prefix_caching:
        return max(1, min(config.max_batch, room)), 0
    total = max(1, min(config.max_batch + _MOST_SNAPSHOTS, room))
    snapshots = min(math.ceil(total * _SNAPSHOT_SHARE), total - 1)
    slots = min(config.max_batch, total - snapshots)
    return slots, total - slots


def _context(budget: Budget, placement: Placement, room: int) -> int:
    """Return the longest context in tokens.

    Raises:
        ContextError: It does not fit.
    """
    config, most = budget.config, budget.spec.max_context
    fitting = min(budget.longest(room, 1), most) if budget.can_be_loaded(placement) else 0
    if config.max_model_len is not None:
        if config.max_model_len > fitting:
            raise _refusal(budget, placement, config.max_model_len, fitting)
        return config.max_model_len
    if fitting < min(PAGE_SIZE, most):
        raise _refusal(budget, placement, min(most, LEAST_CONTEXT), 0)
    for_several = min(budget.longest(room, min(_CONVERSATIONS, config.max_batch)), most)
    context = for_several if for_several >= min(most, _LONG) else fitting
    return min(context, whole_pages(config.kv_cache_tokens or most))


def _cache_tokens(budget: Budget, room: int, context: int, batch: int) -> int:
    """Return how many tokens the cache holds in layers that see everything; whole pages.

    Raises:
        ContextError: A size was asked for that does not fit.
    """
    asked = budget.config.kv_cache_tokens
    if asked is None:
        half = budget.most_cached(
            room // 2, lambda tokens: min(max(tokens // _SHORT, _CONVERSATIONS), batch)
        )
        return max(whole_pages(context), min(whole_pages(batch * context), half))
    affordable = budget.most_cached(room, lambda _: 1)
    tokens = whole_pages(asked)
    if tokens > affordable:
        raise ContextError(
            f"A KV cache of {tokens} tokens needs {gib(budget.cache(tokens, 1))} GiB; there is "
            f"room for {affordable} tokens."
        )
    return tokens


def _sequences(budget: Budget, room: int, tokens: int, batch: int) -> int:
    """Return how many sequences the pools of windows have room for.

    Half of the room may go to them, as it may to other sequences in general, but a few have their
    place in any case where that is possible.
    """
    few = [count for count in (_CONVERSATIONS, 1) if budget.cache(tokens, count) <= room]
    least = min(few[0] if few else 1, batch)
    limit = room if budget.is_exact else max(room // 2, budget.cache(tokens, least))
    return max(
        (count for count in range(least, batch + 1) if budget.cache(tokens, count) <= limit),
        default=least,
    )


def _limit(budget: Budget, placement: Placement, context: int) -> float | None:
    """Return the tokens a second of one conversation that bandwidths allow, if they are known."""
    if budget.machine.bandwidth is None:
        return None
    seconds = seconds_per_token(
        budget.spec,
        budget.sizes,
        placement,
        budget.kv_dtype,
        min(context, _TYPICAL_CONTEXT),
        bandwidth=budget.machine.bandwidth,
        link=budget.machine.link,
    )
    return 1 / seconds if seconds else None


def _refusal(budget: Budget, placement: Placement, tokens: int, fitting: int) -> ContextError:
    states = 1 if budget.per_state else 0
    nearest = placement
    if fitting < PAGE_SIZE:
        nearest = barest_placement(budget)
        fitting = min(_longest(budget, nearest, states), budget.spec.max_context)
    fits = PAGE_SIZE <= fitting < tokens
    return does_not_fit(
        budget.config.model,
        budget.machine,
        budget.needs(placement, tokens, 1, states),
        vram_limit=budget.config.vram_limit if budget.machine.is_gpu else None,
        fitting=fitting if fits else 0,
        fitting_needs=budget.needs(nearest, fitting, 1, states) if fits else None,
        host_bytes=0 if fits else host_bytes_lacking(budget),
        fp8_needs=_needs_in_fp8(budget, tokens),
        asked=budget.config.max_model_len,
    )


def _longest(budget: Budget, placement: Placement, states: int) -> int:
    if not budget.can_be_loaded(placement):
        return 0
    return budget.longest(budget.left(placement, states), 1)


def _needs_in_fp8(budget: Budget, tokens: int) -> Needs | None:
    """Return what a context would take with a cache of 8 bits, if it can have that and then fits."""
    if not budget.has_kernels or budget.kv_dtype.startswith("fp8"):
        return None
    config, machine = budget.config, budget.machine
    smaller = budget_of(config, budget.spec, budget.sizes, machine, budget.dtype, "fp8")
    needs = smaller.needs(choose_placement(smaller), tokens, 1, 1 if budget.per_state else 0)
    return needs if needs.total <= smaller.available else None
