"""What a model takes for some context, and the longest context within a budget."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.models.cache_bytes import kv_bytes_per_token, state_bytes
from localfp4.models.placement import Placement, placed_bytes
from localfp4.models.plan.machine import Machine
from localfp4.models.plan.pools import Pools, pages_for, pools_of
from localfp4.models.plan.refusals import Needs
from localfp4.models.plan.workspace import CUDA_CONTEXT, ENGINE, Widths, widths_of, workspace_bytes
from localfp4.models.spec import DecoderSpec
from localfp4.models.weight_sizes import WeightSizes


@dataclass(frozen=True, slots=True)
class Draft:
    """A smaller model that guesses ahead: its caches have the pages of the group without window."""

    spec: DecoderSpec
    sizes: WeightSizes


@dataclass(frozen=True, slots=True)
class Budget:
    """A model on a machine, with what is to be decided left open.

    Attributes:
        config: What the user asked for.
        spec: The model.
        sizes: Its weights.
        machine: Where it will run.
        dtype: Compute type.
        kv_dtype: Type of the KV cache.
        pools: Of its KV groups.
        per_token: Bytes of keys and values of a token, all layers.
        per_state: Bytes of one sequence's states.
        widths: What decides on the memory of steps.
    """

    config: EngineConfig
    spec: DecoderSpec
    sizes: WeightSizes
    machine: Machine
    dtype: str
    kv_dtype: str
    pools: Pools
    per_token: int
    per_state: int
    widths: Widths

    @property
    def available(self) -> int:
        """Bytes that may be used in all."""
        left = self.machine.free_bytes - self.machine.reserve_bytes
        limit = self.config.vram_limit
        return left if limit is None or not self.machine.is_gpu else min(left, limit)

    @property
    def has_kernels(self) -> bool:
        """Whether kernels run, which also read weights in main memory."""
        return self.machine.is_gpu and not self.config.is_plain_torch

    @property
    def is_exact(self) -> bool:
        """Whether the cache is as large as was asked for and keeps nothing between requests.

        Then a full batch needs its windows and states, and nothing else needs what is left.
        """
        return self.config.kv_cache_tokens is not None and not self.config.prefix_caching

    def workspace(self, context: int) -> int:
        """Return what steps of sequences up to some length take."""
        on_gpu = self.machine.is_gpu
        work = workspace_bytes(
            self.widths,
            self.config,
            self.dtype,
            context,
            on_gpu=on_gpu,
            has_kernels=self.has_kernels,
        )
        if not on_gpu:
            return work + ENGINE + self.sizes.tokenizer
        return work if self.machine.has_context else work + CUDA_CONTEXT

    @property
    def loading(self) -> int:
        """What loading takes beside weights at its most, before there is a cache."""
        if self.machine.is_gpu:
            return 0
        return self.sizes.laid_out + ENGINE + self.sizes.tokenizer

    def can_be_loaded(self, placement: Placement) -> bool:
        """Say whether there is room for weights and what loading takes beside them."""
        return self.weights(placement) + self.loading <= self.available

    def weights(self, placement: Placement) -> int:
        """Return what weights take on the device, with what others pass through there."""
        if not self.machine.is_gpu:
            return self.sizes.total + self.sizes.beside
        placed = placed_bytes(self.sizes, placement)
        return placed.card + placed.staging

    def staging(self, placement: Placement) -> int:
        """Return the part of that through which others pass."""
        return placed_bytes(self.sizes, placement).staging if self.machine.is_gpu else 0

    def host_bytes(self, placement: Placement) -> int:
        """Return what weights take in main memory beside a GPU."""
        if not self.machine.is_gpu:
            return 0
        return placed_bytes(self.sizes, placement).host + self.sizes.beside

    def states(self, count: int) -> int:
        """Return the bytes of so many states and of the slot that padding is written to."""
        return (count + 1) * self.per_state

    def cache(self, tokens: int, sequences: int) -> int:
        """Return the bytes of pools for so many tokens, of which some sequences are long."""
        return self.pools.nbytes(self.pools.pages(tokens, sequences))

    def needs(self, placement: Placement, tokens: int, sequences: int, states: int) -> Needs:
        """Return everything for a context of so many tokens."""
        words = f"KV {tokens} tokens {self.kv_dtype}"
        cache = self.cache(tokens, sequences)
        if self.per_state:
            words, cache = f"{words} and states", cache + self.states(states)
        workspace = max(self.workspace(tokens), self.loading - cache)
        return Needs(self.weights(placement), cache, words, workspace, placement.is_whole)

    def left(self, placement: Placement, states: int) -> int:
        """Return what weights and states leave to the cache and to steps."""
        taken = self.weights(placement) + (self.states(states) if self.per_state else 0)
        return self.available - taken

    def longest(self, room: int, sequences: int) -> int:
        """Return the most tokens of context that fit ``room`` with what steps take; whole pages."""
        return self._most_tokens(
            room, lambda tokens: self.cache(tokens, sequences) + self.workspace(tokens)
        )

    def most_cached(self, room: int, sequences: Callable[[int], int]) -> int:
        """Return the most tokens of cache that fit ``room``; whole pages.

        Args:
            room: Bytes.
            sequences: How many sequences windows have room for, in a cache of so many tokens.
        """
        return self._most_tokens(room, lambda tokens: self.cache(tokens, sequences(tokens)))

    def _most_tokens(self, room: int, cost: Callable[[int], int]) -> int:
        most = pages_for(self.spec.max_context) * self.config.max_batch
        most = max(most, pages_for(self.config.kv_cache_tokens or 0))
        pages = bisect_right(range(1, most + 1), room, key=lambda count: cost(count * PAGE_SIZE))
        return pages * PAGE_SIZE


def budget_of(
    config: EngineConfig,
    spec: DecoderSpec,
    sizes: WeightSizes,
    machine: Machine,
    dtype: str,
    kv_dtype: str,
    draft: Draft | None = None,
) -> Budget:
    """Return the budget of a model on a machine, a draft model beside it if there is one."""
    beside = 0
    if draft is not None:
        beside = kv_bytes_per_token(draft.spec, kv_dtype)
        sizes = replace(sizes, drafting=sizes.drafting + draft.sizes.total)
    return Budget(
        config=config,
        spec=spec,
        sizes=sizes,
        machine=machine,
        dtype=dtype,
        kv_dtype=kv_dtype,
        pools=pools_of(spec, kv_dtype, config.step_tokens(machine.device), beside),
        per_token=kv_bytes_per_token(spec, kv_dtype) + beside,
        per_state=state_bytes(spec, dtype),
        widths=widths_of(spec),
    )
