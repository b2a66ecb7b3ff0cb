"""How an engine has to be built to run some cases, and no larger than that; torch-free."""

from collections.abc import Collection
from dataclasses import replace

from localfp4.bench.engines.depth import config_for_depth
from localfp4.bench.workload import Case
from localfp4.config import PAGE_SIZE, EngineConfig


def sized(config: EngineConfig, cases: Collection[Case]) -> EngineConfig:
    """Return a config with room for the largest of some cases, and for nothing besides.

    What was asked for stays. Nothing guesses ahead unless it was asked to: random prompts make
    models repeat themselves, which is easier to guess than any text.

    Args:
        config: What was asked for.
        cases: At least one; the same result for the same cases, however often it is asked.
    """
    longest = config.max_model_len or max(case.length for case in cases)
    pages = -(-longest // PAGE_SIZE)
    tokens = max(pages * PAGE_SIZE, *(case.kv_tokens for case in cases))
    return replace(
        config_for_depth(config, cases),
        max_model_len=longest,
        kv_cache_tokens=config.kv_cache_tokens or tokens,
        max_batch=max(case.batch for case in cases),
        kv_disk=None,
        speculation="off" if config.speculation == "auto" else config.speculation,
    )


def beyond_context(case: Case, config: EngineConfig, most: int) -> str | None:
    """Say why a case is longer than a context may be, if it is.

    Args:
        case: What would be run.
        config: What was asked for.
        most: Tokens that the model was made for.
    """
    asked = config.max_model_len
    if asked is not None and case.length > asked:
        return f"{case.length} tokens exceed the context of {asked} that was asked for."
    if case.length > most:
        return f"{case.length} tokens exceed the {most} that the model was made for."
    return None
