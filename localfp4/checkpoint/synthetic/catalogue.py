"""The models of which synthetic ones can be made: what their publishers' files say; torch-free.

Settings stand as ``config.json`` of each hub id has them, without those that change neither shapes
nor arithmetic. ai-dynamo/aiconfigurator quotes those of Qwen3 8B and 30B-A3B, Qwen3.6, Gemma 4,
gpt-oss and Llama, and NVIDIA/TensorRT-LLM those of Gemma 3; Qwen3 14B has the widths that its
publisher tells, and what it shares with 8B. The former also quotes ``hf_quant_config.json`` of
NVIDIA's Qwen3.6, Gemma 4 and Qwen3 235B-A22B; smaller models of Qwen3, and Llama, are given the
precisions of the last, which quantises every linear but routers and the output projection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.synthetic.mix import Mix


@dataclass(frozen=True, slots=True)
class Published:
    """A published model.

    Attributes:
        config: Its ``config.json``.
        mix: How its quantised version is stored.
        mix_of: Whose precisions these are.
    """

    config: Mapping[str, Any]
    mix: Mix
    mix_of: str


_QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 40960,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}

_QWEN3_6_TEXT: dict[str, Any] = {
    "attention_bias": False,
    "attn_output_gate": True,
    "full_attention_interval": 4,
    "head_dim": 256,
    "hidden_act": "silu",
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_value_head_dim": 128,
    "max_position_embeddings": 262144,
    "mtp_num_hidden_layers": 1,
    "output_gate_type": "swish",
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
        "partial_rotary_factor": 0.25,
        "rope_theta": 10000000,
        "rope_type": "default",
    },
    "tie_word_embeddings": False,
    "vocab_size": 248320,
}
_QWEN3_6_TYPES = ["linear_attention"] * 3 + ["full_attention"]

_NVFP4 = Mix(attention="nvfp4", mlp="nvfp4", experts="nvfp4")
_NVFP4_OF = "nvidia/Qwen3-235B-A22B-NVFP4"

_QWEN3_6_MIX = Mix(attention="fp8", mlp="nvfp4-w4a16", experts="nvfp4-w4a16", head="nvfp4-w4a16")

CATALOGUE: Mapping[str, Published] = MappingProxyType(
    {
        "qwen3-8b": Published(
            _QWEN3
            | {
                "hidden_size": 4096,
                "intermediate_size": 12288,
                "num_attention_heads": 32,
                "num_hidden_layers": 36,
            },
            _NVFP4,
            _NVFP4_OF,
        ),
        "qwen3-14b": Published(
            _QWEN3
            | {
                "hidden_size": 5120,
                "intermediate_size": 17408,
                "num_attention_heads": 40,
                "num_hidden_layers": 40,
            },
            _NVFP4,
            _NVFP4_OF,
        ),
        "gemma3-27b": Published(
            {
                "model_type": "gemma3",
                "text_config": {
                    "model_type": "gemma3_text",
                    "head_dim": 128,
                    "hidden_size": 5376,
                    "intermediate_size": 21504,
                    "num_attention_heads": 32,
                    "num_hidden_layers": 62,
                    "num_key_value_heads": 16,
                    "query_pre_attn_scalar": 168,
                    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                    "sliding_window": 1024,
                    # The file leaves it to transformers, which takes this.
                    "vocab_size": 262208,
                },
                "tie_word_embeddings": True,
            },
            Mix(attention="nvfp4-ct", mlp="nvfp4-ct"),
            "the NVFP4 scheme of llm-compressor, which leaves out the output projection; there is "
            "no checkpoint of NVIDIA",
        ),
        "qwen3-30b-a3b": Published(
            _QWEN3
            | {
                "model_type": "qwen3_moe",
                "decoder_sparse_step": 1,
                "hidden_size": 2048,
                "mlp_only_layers": [],
                "moe_intermediate_size": 768,
                "norm_topk_prob": True,
                "num_attention_heads": 32,
                "num_experts": 128,
                "num_experts_per_tok": 8,
                "num_hidden_layers": 48,
                "num_key_value_heads": 4,
            },
            _NVFP4,
            _NVFP4_OF,
        ),
        "qwen3.6-27b": Published(
            {
                "model_type": "qwen3_5",
                "text_config": _QWEN3_6_TEXT
                | {
                    "model_type": "qwen3_5_text",
                    "hidden_size": 5120,
                    "intermediate_size": 17408,
                    "layer_types": _QWEN3_6_TYPES * 16,
                    "linear_num_value_heads": 48,
                    "num_attention_heads": 24,
                    "num_hidden_layers": 64,
                    "num_key_value_heads": 4,
                },
                "tie_word_embeddings": False,
            },
            _QWEN3_6_MIX,
            "nvidia/Qwen3.6-27B-NVFP4",
        ),
        "qwen3.6-35b-a3b": Published(
            {
                "model_type": "qwen3_5_moe",
                "text_config": _QWEN3_6_TEXT
                | {
                    "model_type": "qwen3_5_moe_text",
                    "hidden_size": 2048,
                    "layer_types": _QWEN3_6_TYPES * 10,
                    "linear_num_value_heads": 32,
                    "moe_intermediate_size": 512,
                    "num_attention_heads": 16,
                    "num_experts": 256,
                    "num_experts_per_tok": 8,
                    "num_hidden_layers": 40,
                    "num_key_value_heads": 2,
                    "shared_expert_intermediate_size": 512,
                },
                "tie_word_embeddings": False,
            },
            _QWEN3_6_MIX,
            "nvidia/Qwen3.6-35B-A3B-NVFP4",
        ),
        "gemma4-26b-a4b": Published(
            {
                "model_type": "gemma4",
                "text_config": {
                    "model_type": "gemma4_text",
                    "attention_bias": False,
                    "attention_k_eq_v": True,
                    "enable_moe_block": True,
                    "final_logit_softcapping": 30.0,
                    "global_head_dim": 512,
                    "head_dim": 256,
                    "hidden_activation": "gelu_pytorch_tanh",
                    "hidden_size": 2816,
                    "hidden_size_per_layer_input": 0,
                    "intermediate_size": 2112,
                    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
                    "max_position_embeddings": 262144,
                    "moe_intermediate_size": 704,
                    "num_attention_heads": 16,
                    "num_experts": 128,
                    "num_global_key_value_heads": 2,
                    "num_hidden_layers": 30,
                    "num_key_value_heads": 8,
                    "num_kv_shared_layers": 0,
                    "rms_norm_eps": 1e-6,
                    "rope_parameters": {
                        "full_attention": {
                            "partial_rotary_factor": 0.25,
                            "rope_theta": 1000000.0,
                            "rope_type": "proportional",
                        },
                        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
                    },
                    "sliding_window": 1024,
                    "tie_word_embeddings": True,
                    "top_k_experts": 8,
                    "use_bidirectional_attention": "vision",
                    "vocab_size": 262144,
                },
                "tie_word_embeddings": True,
            },
            Mix(experts="nvfp4"),
            "nvidia/Gemma-4-26B-A4B-NVFP4",
        ),
        "gpt-oss-20b": Published(
            {
                "model_type": "gpt_oss",
                "attention_bias": True,
                "head_dim": 64,
                "hidden_act": "silu",
                "hidden_size": 2880,
                "intermediate_size": 2880,
                "layer_types": ["sliding_attention", "full_attention"] * 12,
                "max_position_embeddings": 131072,
                "num_attention_heads": 64,
                "num_experts_per_tok": 4,
                "num_hidden_layers": 24,
                "num_key_value_heads": 8,
                "num_local_experts": 32,
                "rms_norm_eps": 1e-5,
                "rope_scaling": {
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "factor": 32.0,
                    "original_max_position_embeddings": 4096,
                    "rope_type": "yarn",
                    "truncate": False,
                },
                "rope_theta": 150000,
                "sliding_window": 128,
                "swiglu_limit": 7.0,
                "tie_word_embeddings": False,
                "vocab_size": 201088,
            },
            Mix(stacks="mxfp4"),
            "openai/gpt-oss-20b",
        ),
        "llama3.1-8b": Published(
            {
                "model_type": "llama",
                "attention_bias": False,
                "hidden_act": "silu",
                "hidden_size": 4096,
                "intermediate_size": 14336,
                "max_position_embeddings": 131072,
                "mlp_bias": False,
                "num_attention_heads": 32,
                "num_hidden_layers": 32,
                "num_key_value_heads": 8,
                "rms_norm_eps": 1e-5,
                "rope_scaling": {
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                    "rope_type": "llama3",
                },
                "rope_theta": 500000.0,
                "tie_word_embeddings": False,
                "vocab_size": 128256,
            },
            _NVFP4,
            _NVFP4_OF,
        ),
    }
)
