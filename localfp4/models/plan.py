"""How much memory a model needs and how long its context may be; arithmetic only, no tensors."""

from dataclasses import dataclass

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.errors import ContextError
from localfp4.models.spec import DecoderSpec, LayerSpec, MlpSpec

ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1}

_SCALE_BYTES = {"fp8": 4}
"""Bytes of the scale of each vector in the KV cache, where its type has scales."""

_RESERVE = 0.1
"""Share of the free memory left to activations and to other programs."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What will be allocated.

    Attributes:
        dtype: Compute type, which is also the type of weights that are not kept packed.
        kv_dtype: Type of the KV cache.
        weight_bytes: Bytes of the weights as they will lie in memory.
        kv_bytes_per_token: Bytes of keys and values per token, all layers.
        kv_cache_tokens: Size of the KV cache in tokens, a multiple of the page size.
        max_model_len: Longest context in tokens.
    """

    dtype: str
    kv_dtype: str
    weight_bytes: int
    kv_bytes_per_token: int
    kv_cache_tokens: int
    max_model_len: int


def plan_memory(
    config: EngineConfig,
    spec: DecoderSpec,
    *,
    tied: bool,
    device: str,
    free_bytes: int,
    weight_bytes: int | None = None,
) -> MemoryPlan:
    """Choose types, context length and cache size for the memory that is free.

    An automatic context shrinks until it fits; an explicit one is kept or refused. The cache gets
    room for every sequence of a full batch if half of what the weights leave is enough for that.

    Args:
        config: What the user asked for.
        spec: The model.
        tied: Whether the output projection shares the embedding's weights.
        device: ``cpu`` or ``cuda``.
        free_bytes: Memory that can be allocated there.
        weight_bytes: Bytes of the weights where they stay as they are stored; ``None`` expands
            them to the compute type.

    Raises:
        ContextError: The weights, or the context that was asked for, do not fit.
    """
    dtype = compute_dtype(config, spec, tied=tied, device=device, free_bytes=free_bytes)
    kv_dtype = dtype if config.kv_cache_dtype == "auto" else config.kv_cache_dtype
    if weight_bytes is None:
        weight_bytes = _expanded_bytes(spec, dtype, tied=tied, device=device)
    per_token = kv_bytes_per_token(spec, kv_dtype)

    budget = int(free_bytes * (1 - _RESERVE)) - weight_bytes
    affordable = budget // per_token // PAGE_SIZE * PAGE_SIZE
    if affordable < PAGE_SIZE:
        raise ContextError(
            f"The model needs {_gib(weight_bytes)} GiB for its weights, and "
            f"{_gib(free_bytes)} GiB are free; close other programs or pick a smaller model."
        )
    wanted = config.max_model_len or min(spec.max_context, affordable)
    _check_context(wanted, affordable, spec, per_token)
    tokens = config.kv_cache_tokens or max(wanted, min(config.max_batch * wanted, affordable // 2))
    tokens = _whole_pages(tokens)
    if config.max_model_len is not None and tokens < wanted:
        raise ContextError(
            f"A context of {wanted} tokens does not fit the KV cache of {tokens} tokens that was "
            "asked for; make the cache at least as large."
        )
    if tokens > affordable:
        raise ContextError(
            f"A KV cache of {tokens} tokens needs {_gib(tokens * per_token)} GiB; there is room "
            f"for {affordable} tokens."
        )
    return MemoryPlan(dtype, kv_dtype, weight_bytes, per_token, tokens, min(wanted, tokens))


def parameter_count(spec: DecoderSpec, *, tied: bool) -> int:
    """Count the parameters; a tied output projection counts once."""
    embeddings = spec.vocab_size * spec.hidden_size * (1 if tied else 2)
    blocks = sum(_layer_parameters(layer, spec.hidden_size) for layer in spec.layers)
    return embeddings + blocks + spec.hidden_size


def kv_bytes_per_token(spec: DecoderSpec, kv_dtype: str) -> int:
    """Return the bytes of keys and values that one token takes in all layers."""
    element, scale = ELEMENT_BYTES[kv_dtype], _SCALE_BYTES.get(kv_dtype, 0)
    return sum(
        2 * layer.attention.kv_heads * (layer.attention.head_dim * element + scale)
        for layer in spec.layers
    )


def compute_dtype(
    config: EngineConfig, spec: DecoderSpec, *, tied: bool, device: str, free_bytes: int
) -> str:
    """Choose the compute type where the user left it open.

    On a CPU float32 keeps every weight exact, as long as that takes at most half of the memory.
    bfloat16 decodes faster only where the CPU multiplies it in hardware.
    """
    if config.dtype != "auto":
        return config.dtype
    parameters = parameter_count(spec, tied=tied)
    if device == "cpu" and parameters * ELEMENT_BYTES["float32"] <= free_bytes // 2:
        return "float32"
    return "bfloat16"


def _expanded_bytes(spec: DecoderSpec, dtype: str, *, tied: bool, device: str) -> int:
    count = parameter_count(spec, tied=tied)
    if tied and device == "cpu":
        # The rows of the embedding are looked up, and the head's copy is laid out for products.
        count += spec.vocab_size * spec.hidden_size
    return count * ELEMENT_BYTES[dtype]


def _check_context(wanted: int, affordable: int, spec: DecoderSpec, per_token: int) -> None:
    if wanted > spec.max_context:
        raise ContextError(
            f"A context of {wanted} tokens was asked for, and the model was made for "
            f"{spec.max_context}; use --ctx {spec.max_context} or less."
        )
    if wanted > affordable:
        raise ContextError(
            f"A context of {wanted} tokens needs {_gib(wanted * per_token)} GiB of KV cache, and "
            f"there is room for {affordable} tokens; use --ctx {affordable} or close other "
            "programs."
        )


def _layer_parameters(layer: LayerSpec, hidden: int) -> int:
    attention, feed_forward = layer.attention, layer.feed_forward
    query = attention.heads * attention.head_dim
    key = attention.kv_heads * attention.head_dim
    count = 2 * hidden + hidden * (query + 2 * key) + query * hidden
    count += (query + 2 * key) * attention.qkv_bias + hidden * attention.out_bias
    count += 2 * attention.head_dim * attention.qk_norm
    size = feed_forward.intermediate_size
    if isinstance(feed_forward, MlpSpec):
        return count + 3 * hidden * size + (2 * size + hidden) * feed_forward.bias
    return count + hidden * feed_forward.experts + feed_forward.experts * 3 * hidden * size


def _whole_pages(tokens: int) -> int:
    return -(-tokens // PAGE_SIZE) * PAGE_SIZE


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
