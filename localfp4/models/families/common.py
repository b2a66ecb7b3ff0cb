"""The parts of a spec that Llama and its descendants share."""

import math
from typing import Any

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
    if heads % kv_heads or head_dim % 2:
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
    layers = config.count("num_hidden_layers")
    if not config.flag("use_sliding_window") or config.get("sliding_window") is None:
        return [None] * layers
    window = config.count("sliding_window")
    types = config.get("layer_types")
    if types is None:
        full = config.count("max_window_layers", default=28)
        return [None if layer < full else window for layer in range(layers)]
    if len(types) != layers:
        raise CheckpointError(
            f"config.json: 'layer_types' lists {len(types)} layers, the model has {layers}."
        )
    return [window if kind == "sliding_attention" else None for kind in types]


def rope_spec(settings: dict[str, Any], head_dim: int) -> RopeSpec:
    """Turn normalised rotary settings into a spec.

    Raises:
        UnsupportedModelError: An unknown ``rope_type``, or only a part of each head is rotated.
    """
    if settings["partial_rotary_factor"] != 1.0:
        raise UnsupportedModelError(
            "config.json: partial_rotary_factor "
            f"{settings['partial_rotary_factor']} is not supported yet."
        )
    kind, theta = settings["rope_type"], float(settings["rope_theta"])
    original = settings["original_max_position_embeddings"]
    if kind == "default":
        return RopeSpec(head_dim, theta)
    factor = float(_needed(settings, "factor"))
    if kind == "linear":
        return RopeSpec(head_dim, theta, "linear", factor)
    if kind == "llama3":
        return RopeSpec(
            head_dim,
            theta,
            "llama3",
            factor,
            original,
            low_freq_factor=float(_needed(settings, "low_freq_factor")),
            high_freq_factor=float(_needed(settings, "high_freq_factor")),
        )
    if kind == "yarn":
        return RopeSpec(
            head_dim,
            theta,
            "yarn",
            factor,
            original,
            beta_fast=float(settings.get("beta_fast") or 32.0),
            beta_slow=float(settings.get("beta_slow") or 1.0),
            attention_factor=_yarn_attention_factor(settings, factor),
            truncate=bool(settings.get("truncate", True)),
        )
    raise UnsupportedModelError(
        f"config.json: rope_type '{kind}' is not supported yet; this version knows default, "
        "linear, llama3 and yarn."
    )


def _yarn_attention_factor(settings: dict[str, Any], factor: float) -> float:
    """Return what cosine and sine are multiplied with (Peng et al. 2023, YaRN, section 3.4)."""

    def magnitude(mscale: float) -> float:
        return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0

    if settings.get("attention_factor") is not None:
        return float(settings["attention_factor"])
    mscale, all_dim = settings.get("mscale"), settings.get("mscale_all_dim")
    if mscale and all_dim:
        return magnitude(float(mscale)) / magnitude(float(all_dim))
    return magnitude(1.0)


def _needed(settings: dict[str, Any], key: str) -> Any:
    if settings.get(key) is None:
        raise CheckpointError(f"config.json: rope_type '{settings['rope_type']}' needs '{key}'.")
    return settings[key]
