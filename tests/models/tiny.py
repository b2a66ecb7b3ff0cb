"""Tiny models of transformers with every parameter randomised, as folders and as modules.

Default initialisation hides mistakes: norms of one and biases of zero pass whatever is done with
them. The configs use values that no family has as its default, for the same reason.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from localfp4.llm import LLM

VOCAB = 128

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-3,
    "rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_MOE = {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "head_dim": 16}
_SLIDING = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}


def _scaled(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": 700.0, "factor": 4.0, **parameters}


_LLAMA3 = {
    "low_freq_factor": 1.5,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 32,
}
_YARN = {"original_max_position_embeddings": 32}

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama-linear": {"model_type": "llama", "rope_parameters": _scaled("linear")},
    "llama-llama3": {
        "model_type": "llama",
        "rope_parameters": _scaled("llama3", **_LLAMA3),
        "tie_word_embeddings": True,
    },
    "llama-yarn": {"model_type": "llama", "rope_parameters": _scaled("yarn", **_YARN)},
    "llama-yarn-mscale": {
        "model_type": "llama",
        "rope_parameters": _scaled(
            "yarn", **_YARN, mscale=0.7, mscale_all_dim=1.3, beta_fast=4.0, truncate=False
        ),
    },
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama-wide-heads": {"model_type": "llama", "head_dim": 24, "num_key_value_heads": 1},
    "qwen2": {"model_type": "qwen2"},
    "qwen2-sliding": {"model_type": "qwen2", **_SLIDING},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
    "qwen3-sliding": {
        "model_type": "qwen3",
        "head_dim": 32,
        "attention_bias": True,
        **_SLIDING,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "qwen3_moe": {"model_type": "qwen3_moe", **_MOE, "norm_topk_prob": True},
    "qwen3_moe-mixed": {
        "model_type": "qwen3_moe",
        **_MOE,
        "norm_topk_prob": False,
        "mlp_only_layers": [1],
        "num_hidden_layers": 4,
        "decoder_sparse_step": 2,
        "use_sliding_window": True,
        "sliding_window": 8,
    },
}


def build(name: str) -> Any:
    """Return a randomised model of transformers."""
    model = build_from(_COMMON | CONFIGS[name])
    randomise(model)
    return model


def build_from(settings: dict[str, Any]) -> Any:
    """Return the model of a config in float32, attending eagerly."""
    config = CONFIG_MAPPING[settings["model_type"]](**settings)
    auto: Any = AutoModelForCausalLM
    return auto.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()


def randomise(model: Any) -> None:
    """Give norms weights around one, biases around zero, and matrices that keep magnitudes."""
    generator = torch.Generator().manual_seed(len(model.state_dict()))
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if "norm" in name:
            tensor.copy_(1 + noise.clamp(-2, 2) / 4)
        elif name.endswith("bias"):
            tensor.copy_(noise / 4)
        else:
            tensor.copy_(noise / tensor.shape[-1] ** 0.5)


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def open_llm(folder: Path, max_step_tokens: int = 16) -> LLM:
    """Load in float32 with a small cache and chunks that do not divide a page."""
    return LLM(
        str(folder),
        device="cpu",
        dtype="float32",
        max_model_len=256,
        kv_cache_tokens=512,
        max_step_tokens=max_step_tokens,
        threads=1,
    )


def edited(folder: Path, target: Path, **changes: Any) -> Path:
    """Copy a checkpoint with some settings of its config changed."""
    shutil.copytree(folder, target)
    path = target / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, config | changes)
    return target


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def restored(folder: Path, target: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Copy a checkpoint with other tensors."""
    shutil.copytree(folder, target)
    save_file({k: v.contiguous() for k, v in tensors.items()}, target / "model.safetensors")
    return target


def token_ids(count: int, vocab: int = VOCAB, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, vocab, (count,), generator=generator).tolist()


@torch.no_grad()
def logits_of(model: Any, ids: list[int]) -> torch.Tensor:
    """Return transformers' logits ``[T, V]``."""
    logits: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return logits
