"""The parts of a spec that Llama and its descendants share."""

import math

from localfp4.errors import CheckpointError, UnsupportedModelError
from localfp4.models.families.config import CheckpointConfig
from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, MoeSpec, RopeSpec


def attention_spec(
    config: CheckpointConfig,
    *,
    window: int | None = None,
    qk_norm: bool = False,
    qkv_bias: bool = False,
    out_bias: bool = False,
    default_head_dim: int | None = None,
) -> AttentionSpec:
    """Read the heads and the rotary embedding."""
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = config.count(
        "head_dim", default=default_head_dim or config.count("hidden_size") // heads
    )
    if heads % kv_heads or head_dim % 2 or not head_dim:
        raise CheckpointError(
            f"config.json: {heads} heads of width {head_dim} over {kv_heads} key-value heads "
            "do not fit together."
        )
    return AttentionSpec(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        scale=head_dim**-0.5,
        rope=rope_spec(config.rope(), head_dim),
        window=window,
        qk_norm=qk_norm,
        qkv_bias=qkv_bias,
        out_bias=out_bias,
    )


def decoder(
    config: CheckpointConfig, layers: tuple[LayerSpec, ...], *, norm_eps: float
) -> DecoderSpec:
    """Put layers and the model-wide settings together."""
    return DecoderSpec(
        family=config.text("model_type"),
        vocab_size=config.count("vocab_size"),
        hidden_size=config.count("hidden_size"),
        norm_eps=config.number("rms_norm_eps", norm_eps),
        max_context=config.count("max_position_embeddings"),
        layers=layers,
    )


def mlp_spec(config: CheckpointConfig, *, bias: bool = False) -> MlpSpec:
    """Read the dense feed-forward network."""
    config.require("hidden_act", "silu", default="silu")
    return MlpSpec(config.count("intermediate_size"), bias)


def moe_spec(config: CheckpointConfig) -> MoeSpec:
    """Read a Qwen-style mixture of experts."""
    config.require("hidden_act", "silu", default="silu")
    experts = config.count("num_experts", "num_local_experts", "n_routed_experts")
    per_token = config.count("num_experts_per_tok")
    if per_token > experts:
        raise CheckpointError(
            f"config.json: a token cannot visit {per_token} of {experts} experts."
        )
    return MoeSpec(
        experts=experts,
        experts_per_token=per_token,
        intermediate_size=config.count("moe_intermediate_size"),
        renormalise=config.flag("norm_topk_prob"),
    )


def sliding_windows(config: CheckpointConfig) -> list[int | None]:
    """Return the window of each layer of dense Qwen models; ``None`` sees everything.

    Without ``use_sliding_window`` no layer has one; with it ``layer_types`` decides, or
    ``max_window_layers`` in older files.
    """
    layers = config.layers()
    if not config.flag("use_sliding_window") or config.get("sliding_window") is None:
        return [None] * layers
    window = config.count("sliding_window")
    types = config.list_of(str, "layer_types")
    if not types:
        full = config.count("max_window_layers", default=28)
        return [None if layer < full else window for layer in range(layers)]
    if len(types) != layers:
        raise CheckpointError(
            f"config.json: 'layer_types' lists {len(types)} layers, the model has {layers}."
        )
    unknown = sorted(set(types) - {"full_attention", "sliding_attention"})
    if unknown:
        raise UnsupportedModelError(
            f"config.json: layers of type {unknown[0]!r} are not supported yet."
        )
    return [window if kind == "sliding_attention" else None for kind in types]


def rope_spec(settings: CheckpointConfig, head_dim: int) -> RopeSpec:
    """Turn the settings of :meth:`CheckpointConfig.rope` into a spec.

    Raises:
        UnsupportedModelError: An unknown ``rope_type``, or only a part of each head is rotated.
        CheckpointError: A setting of that type is missing or makes no sense.
    """
    settings.require("partial_rotary_factor", 1.0, default=1.0)
    kind, theta = settings.text("rope_type"), settings.number("rope_theta")
    if theta <= 1:
        raise CheckpointError(f"config.json: 'rope_theta' must be above 1, not {theta}.")
    if kind == "default":
        return RopeSpec(head_dim, theta)
    if kind not in ("linear", "llama3", "yarn"):
        raise UnsupportedModelError(
            f"config.json: rope_type {kind!r} is not supported yet; this version knows default, "
            "linear, llama3 and yarn."
        )
    factor = _needed(settings, "factor")
    if kind == "linear":
        return RopeSpec(head_dim, theta, "linear", factor)
    original = settings.count("original_max_position_embeddings")
    if kind == "llama3":
        low, high = (_needed(settings, f"{end}_freq_factor") for end in ("low", "high"))
        if low >= high:
            raise CheckpointError(
                f"config.json: 'high_freq_factor' {high} must be above 'low_freq_factor' {low}."
            )
        return RopeSpec(
            head_dim, theta, "llama3", factor, original, low_freq_factor=low, high_freq_factor=high
        )
    return RopeSpec(
        head_dim,
        theta,
        "yarn",
        factor,
        original,
        beta_fast=settings.number("beta_fast", 32.0),
        beta_slow=settings.number("beta_slow", 1.0),
        attention_factor=_yarn_attention_factor(settings, factor),
        truncate=settings.flag("truncate", default=True),
    )


def _yarn_attention_factor(settings: CheckpointConfig, factor: float) -> float:
    """Return what cosine and sine are multiplied with (Peng et al. 2023, YaRN, section 3.4)."""

    def magnitude(mscale: float) -> float:
        return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0

    if settings.get("attention_factor") is not None:
        return settings.number("attention_factor")
    if settings.get("mscale") and settings.get("mscale_all_dim"):
        return magnitude(settings.number("mscale")) / magnitude(settings.number("mscale_all_dim"))
    return magnitude(1.0)


def _needed(settings: CheckpointConfig, key: str) -> float:
    if settings.get(key) is None:
        raise CheckpointError(
            f"config.json: rope_type '{settings.text('rope_type')}' needs '{key}'."
        )
    return settings.number(key)
