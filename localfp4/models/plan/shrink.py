"""A second try with less, where memory ran out although the plan fitted."""

from dataclasses import replace

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.models.plan.memory_plan import MemoryPlan


def shrunk(config: EngineConfig, plan: MemoryPlan) -> EngineConfig | None:
    """Return a config with half the context, or ``None`` where there is nothing to shrink.

    What other programs take between planning and loading is not known; half of the cache gives
    way to it. A context or a cache that was asked for is kept, so that this works once: the
    result asks for both.
    """
    if config.max_model_len is not None or config.kv_cache_tokens is not None:
        return None
    context = plan.max_model_len // 2 // PAGE_SIZE * PAGE_SIZE
    if context < PAGE_SIZE:
        return None
    return replace(config, max_model_len=context, kv_cache_tokens=context)
