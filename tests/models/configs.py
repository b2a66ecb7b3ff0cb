"""Configs as families publish them, small and plain; torch-free."""

from typing import Any

from localfp4.models.families import decoder_spec
from localfp4.models.spec import DecoderSpec

BASE: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
}
MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}


def spec(**changes: Any) -> DecoderSpec:
    """Read a llama config with some settings changed; ``...`` removes one."""
    merged = {"model_type": "llama"} | BASE | changes
    return decoder_spec({key: value for key, value in merged.items() if value is not ...})
