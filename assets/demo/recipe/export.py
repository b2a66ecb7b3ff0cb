"""Writes the trained network as a checkpoint in BF16, which the shipped one is quantised from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from recipe.model import Network, Shape
from recipe.tokenizer import END, END_OF_TEXT, save_tokenizer


def export(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """`folder/bf16`, complete with tokenizer and configuration."""
    stops = [tokenizer.token_to_id(END), tokenizer.token_to_id(END_OF_TEXT)]
    target = folder / "bf16"
    save_tokenizer(tokenizer, target, network.shape.max_positions)
    _write_json(target / "config.json", _config(network.shape, stops))
    _write_json(target / "generation_config.json", _generation(stops))
    file = target / "model.safetensors"
    save_file(_tensors(network), str(file.with_suffix(".partial")), metadata={"format": "pt"})
    file.with_suffix(".partial").chmod(0o644)
    file.with_suffix(".partial").replace(file)


def _tensors(network: Network) -> dict[str, Tensor]:
    """BF16 tensors under their checkpoint names."""
    shape = network.shape
    tensors = {"model.embed_tokens.weight": network.embed, "model.norm.weight": network.final_norm}
    for number, block in enumerate(network.blocks):
        layer = f"model.layers.{number}."
        tensors[layer + "input_layernorm.weight"] = block.input_norm
        tensors[layer + "post_attention_layernorm.weight"] = block.post_norm
        tensors[layer + "self_attn.q_norm.weight"] = block.q_norm
        tensors[layer + "self_attn.k_norm.weight"] = block.k_norm
        kv_rows = shape.kv_heads * shape.head_dim
        q, k, v = block.qkv.split([shape.heads * shape.head_dim, kv_rows, kv_rows])
        gate, up = block.gate_up.chunk(2)
        for name, weight in (
            ("self_attn.q_proj", q),
            ("self_attn.k_proj", k),
            ("self_attn.v_proj", v),
            ("self_attn.o_proj", block.out),
            ("mlp.gate_proj", gate),
            ("mlp.up_proj", up),
            ("mlp.down_proj", block.down),
        ):
            tensors[f"{layer}{name}.weight"] = weight
    return {name: _bf16(weight) for name, weight in tensors.items()}


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
