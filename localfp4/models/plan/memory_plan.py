"""What will be allocated for a model."""

from dataclasses import dataclass

from localfp4.models.placement import Placement

EXPECTED_SHARE = 0.7
"""Part of the memory's bandwidth that decoding is expected to reach."""

_FASTEST_EXPECTED = 1000.0
"""Tokens a second; models that are small enough for more wait for what begins their steps."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What will be allocated.

    Attributes:
        dtype: Compute type, which is also the type of weights that are not kept packed.
        kv_dtype: Type of the KV cache.
        weight_bytes: Bytes of the weights on the device, as they will lie there.
        staging_bytes: Bytes on the device through which weights of the main memory pass.
        host_bytes: Bytes of weights in main memory, where the device is a GPU.
        placement: Which weights those are.
        kv_bytes_per_token: Bytes of keys and values per token, all layers.
        kv_cache_tokens: Size of the KV cache in tokens, a multiple of the page size.
        kv_cache_bytes: Bytes of all pools of pages.
        group_pages: Pages of each KV group's pool, without the one that padding is written to.
        max_model_len: Longest context in tokens.
        conversations: How many of that length run at once.
        workspace_bytes: Most that a step takes besides.
        reserve_bytes: What stays free for other programs.
        state_bytes: Bytes of one sequence's recurrent states, all layers; 0 without any.
        state_slots: Sequences that can run together with them; 0 without any.
        state_snapshots: Copies of states, to go on from with a known prompt.
        loading_bytes: What loading takes beside weights at its most, before there is a cache.
        limit_tokens_per_s: Tokens a second of one conversation that the bandwidths of memory and
            link allow; ``None`` where they are not known.
    """

    dtype: str
    kv_dtype: str
    weight_bytes: int
    staging_bytes: int
    host_bytes: int
    placement: Placement
    kv_bytes_per_token: int
    kv_cache_tokens: int
    kv_cache_bytes: int
    group_pages: tuple[int, ...]
    max_model_len: int
    conversations: int
    workspace_bytes: int
    reserve_bytes: int
    state_bytes: int = 0
    state_slots: int = 0
    state_snapshots: int = 0
    loading_bytes: int = 0
    limit_tokens_per_s: float | None = None

    @property
    def states_bytes(self) -> int:
        """Bytes of all states: slots, snapshots, and the slot that padding is written to."""
        count = self.state_slots + self.state_snapshots
        return (count + 1) * self.state_bytes if count else 0

    @property
    def total_bytes(self) -> int:
        """The most that is on the device at a time."""
        weights = self.weight_bytes + self.staging_bytes
        return weights + max(self.running_bytes, self.loading_bytes)

    @property
    def running_bytes(self) -> int:
        """What is there beside weights once they are loaded."""
        return self.kv_cache_bytes + self.states_bytes + self.workspace_bytes

    @property
    def expected_tokens_per_s(self) -> float | None:
        """An estimate for one conversation: :data:`EXPECTED_SHARE` of the limit.

        ``None`` where there is no limit, or one so high that something else decides.
        """
        expected = EXPECTED_SHARE * (self.limit_tokens_per_s or 0.0)
        return expected if 0 < expected <= _FASTEST_EXPECTED else None

    def describe(self) -> list[str]:
        """Say in sentences what was placed where, and how fast that is expected to be."""
        lines = []
        slots, layers = self.placement.expert_slots, self.placement.host_layers
        if slots is not None:
            lines.append(
                f"{slots} experts of every mixture lie on the card; all of them are in main memory "
                f"({gib(self.host_bytes)} GiB), from where the others are read."
            )
        if layers:
            lines.append(
                f"The last {layers} layers are read from main memory, "
                f"{gib(self.host_bytes)} GiB in all."
            )
        expected, limit = self.expected_tokens_per_s, self.limit_tokens_per_s
        if expected is not None and limit is not None:
            lines.append(
                f"About {rounded(expected)} tokens a second are expected: {EXPECTED_SHARE:.0%} of "
                f"the {rounded(limit)} that the bandwidth allows."
            )
        return lines


def gib(count: int) -> str:
    """Return bytes in GiB, with one decimal."""
    return f"{count / 2**30:.1f}"


def rounded(rate: float) -> str:
    """Return a rate with as many digits as an estimate deserves."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
