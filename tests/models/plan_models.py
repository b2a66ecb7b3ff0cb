"""Published models as the memory plan sees them: settings of their config.json, and sizes."""

from typing import Any

from localfp4.models.families import decoder_spec
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import mixture
from localfp4.models.weight_sizes import WeightSizes

GIB = 2**30

QWEN3_8B: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "hidden_act": "silu",
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 36,
    "tie_word_embeddings": False,
}
QWEN3_8B_PARAMETERS = 8_190_735_360
"""As its model card's safetensors count has it."""

QWEN3_5_27B: dict[str, Any] = {
    "model_type": "qwen3_5_text",
    "vocab_size": 248320,
    "hidden_size": 5120,
    "intermediate_size": 17408,
    "num_hidden_layers": 64,
    "num_attention_heads": 24,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 48,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000000, "partial_rotary_factor": 0.25},
}

QWEN3_30B_A3B: dict[str, Any] = {
    **QWEN3_8B,
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}

GEMMA3_27B: dict[str, Any] = {
    "model_type": "gemma3_text",
    "vocab_size": 262208,
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "query_pre_attn_scalar": 168,
    "sliding_window": 1024,
    "sliding_window_pattern": 6,
    "max_position_embeddings": 131072,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "rope_theta": 1000000,
    "rope_local_base_freq": 10000,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
}

GPT_OSS_20B: dict[str, Any] = {
    "model_type": "gpt_oss",
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "max_position_embeddings": 131072,
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 4096,
        "truncate": False,
    },
    "hidden_act": "silu",
    "swiglu_limit": 7.0,
}


def spec_of(settings: dict[str, Any]) -> DecoderSpec:
    return decoder_spec(dict(settings))


def sizes_of(spec: DecoderSpec, total: int, *, looked_up: int = 0) -> WeightSizes:
    """Spread bytes over a model: a tenth outside the layers, most of a mixture in its experts."""
    layers = len(spec.layers)
    rest = total // 10
    moe = mixture(spec.layers[-1])
    each, extra = divmod(total - rest, layers)
    if moe is None:
        return WeightSizes(rest + extra, (each,) * layers, (0,) * layers, 0, looked_up)
    stack = each * 9 // 10 // moe.experts * moe.experts
    return WeightSizes(
        rest + extra, (each - stack,) * layers, (stack,) * layers, moe.experts, looked_up
    )
