"""Writes the trained network as two checkpoints: the BF16 original and its NVFP4 form.

The NVFP4 one is compressed-tensors `nvfp4-pack-quantized`, W4A16: every linear layer in 4 bits,
embeddings and norms in BF16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from localfp4_kernels.formats.nvfp4 import quantize_nvfp4_torch
from recipe.model import Network, Shape
from recipe.tokenizer import END, END_OF_TEXT, save_tokenizer


def export(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """`folder/bf16` and `folder/localfp4_demo`, complete with tokenizer and configuration."""
    stops = [tokenizer.token_to_id(END), tokenizer.token_to_id(END_OF_TEXT)]
    config = _config(network.shape, stops)
    norms, linears = _tensors(network)
    dense = {name: weight for group in linears for name, weight in group.items()}
    packed = {name: part for group in linears for name, part in _packed(group).items()}
    for name, tensors, extra in (
        ("bf16", dense, {}),
        ("localfp4_demo", packed, {"quantization_config": _quantization()}),
    ):
        target = folder / name
        save_tokenizer(tokenizer, target, network.shape.max_positions)
        _write_json(target / "config.json", config | extra)
        _write_json(target / "generation_config.json", _generation(stops))
        file = target / "model.safetensors"
        save_file(norms | tensors, str(file.with_suffix(".partial")), metadata={"format": "pt"})
        file.with_suffix(".partial").chmod(0o644)
        file.with_suffix(".partial").replace(file)
    (folder / "localfp4_demo" / "__init__.py").write_text(
        '"""The bundled demo model, kept as package data: an NVFP4 checkpoint."""\n', "utf-8"
    )


def _tensors(network: Network) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """BF16 tensors under their checkpoint names: the plain ones, and linears in groups.

    A group is what kernels may merge (query, key, value; gate, up): it shares one global scale.
    """
    shape = network.shape
    plain = {"model.embed_tokens.weight": network.embed, "model.norm.weight": network.final_norm}
    groups: list[dict[str, Tensor]] = []
    for number, block in enumerate(network.blocks):
        layer = f"model.layers.{number}."
        plain[layer + "input_layernorm.weight"] = block.input_norm
        plain[layer + "post_attention_layernorm.weight"] = block.post_norm
        plain[layer + "self_attn.q_norm.weight"] = block.q_norm
        plain[layer + "self_attn.k_norm.weight"] = block.k_norm
        kv_rows = shape.kv_heads * shape.head_dim
        q, k, v = block.qkv.split([shape.heads * shape.head_dim, kv_rows, kv_rows])
        gate, up = block.gate_up.chunk(2)
        for group in (
            {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v},
            {"self_attn.o_proj": block.out},
            {"mlp.gate_proj": gate, "mlp.up_proj": up},
            {"mlp.down_proj": block.down},
        ):
            groups.append(
                {f"{layer}{name}.weight": _bf16(weight) for name, weight in group.items()}
            )
    return {name: _bf16(weight) for name, weight in plain.items()}, groups


def _packed(group: dict[str, Tensor]) -> dict[str, Tensor]:
    amax = max(weight.abs().max().item() for weight in group.values())
    parts: dict[str, Tensor] = {}
    for name, weight in group.items():
        quantised = quantize_nvfp4_torch(weight, amax)
        parts[name + "_packed"] = quantised.packed
        parts[name + "_scale"] = quantised.scale
        # compressed-tensors stores the divisor where the kernels keep the multiplier.
        parts[name + "_global_scale"] = (1 / quantised.global_scale).reshape(1).float()
    return parts


def _bf16(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.bfloat16).contiguous()


def _config(shape: Shape, stops: list[int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "dtype": "bfloat16",
        "eos_token_id": stops[0],
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.ffn,
        "layer_types": ["full_attention"] * shape.layers,
        "max_position_embeddings": shape.max_positions,
        "max_window_layers": shape.layers,
        "model_type": "qwen3",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": stops[1],
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_theta": shape.rope_theta, "rope_type": "default"},
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocab,
    }


def _quantization() -> dict[str, Any]:
    weights = {
        "actorder": None,
        "block_structure": None,
        "dynamic": False,
        "group_size": 16,
        "num_bits": 4,
        "observer": "memoryless_minmax",
        "observer_kwargs": {},
        "scale_dtype": "torch.float8_e4m3fn",
        "strategy": "tensor_group",
        "symmetric": True,
        "type": "float",
        "zp_dtype": None,
    }
    group = {
        "format": "nvfp4-pack-quantized",
        "input_activations": None,
        "output_activations": None,
        "targets": ["Linear"],
        "weights": weights,
    }
    return {
        "config_groups": {"group_0": group},
        "format": "nvfp4-pack-quantized",
        "global_compression_ratio": None,
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.19.0",
    }


def _generation(stops: list[int]) -> dict[str, Any]:
    return {
        "do_sample": True,
        "temperature": 0.3,
        "top_p": 0.9,
        "max_new_tokens": 256,
        "eos_token_id": stops,
        "pad_token_id": stops[1],
    }


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
