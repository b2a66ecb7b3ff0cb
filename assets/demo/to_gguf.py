"""Converts the demo to GGUF, so that llama.cpp can be measured beside localfp4.

    pip install gguf
    python assets/demo/to_gguf.py OUT [--types bf16,nvfp4,q4_0]

Writes ``OUT/demo-TYPE.gguf`` for each type. ``nvfp4`` holds the very codes and scales of the
checkpoint that is shipped; ``bf16`` and ``f32`` hold the original, and ``q8_0``, ``q4_0`` and
``mxfp4`` round the original's linears with gguf's own quantisers. The embedding, which is also the
output projection, stays in BF16 beside BF16, NVFP4 and MXFP4 linears, and is Q8_0 in the others, as
llama.cpp's own quantiser has it where Q6_K does not divide the width.

Layout of NVFP4 blocks: ``block_nvfp4`` of ggml, four E4M3 scales and 32 bytes of codes for 64
weights, in which a byte holds weight ``i`` and ``i + 8`` of a group of 16.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
ORIGINAL, SHIPPED = HERE / "bf16", HERE / "localfp4_demo"

TYPES = ("bf16", "f32", "nvfp4", "mxfp4", "q8_0", "q4_0")
EMBEDDINGS = {"f32": "f32", "q8_0": "q8_0", "q4_0": "q8_0"}
"""Type of the embedding where it is not BF16."""

FILE_TYPES = {
    "bf16": "MOSTLY_BF16",
    "f32": "ALL_F32",
    "nvfp4": "MOSTLY_NVFP4",
    "mxfp4": "MOSTLY_MXFP4_MOE",
    "q8_0": "MOSTLY_Q8_0",
    "q4_0": "MOSTLY_Q4_0",
}

LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
}


def main() -> None:
    """Write a file for each type that was asked for."""
    parser = argparse.ArgumentParser(description="The demo as GGUF.")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--types", default="bf16,nvfp4,q4_0", help=f"of {', '.join(TYPES)}")
    options = parser.parse_args()
    types = options.types.split(",")
    if unknown := set(types) - set(TYPES):
        parser.error(f"--types knows {', '.join(TYPES)}, not {', '.join(sorted(unknown))}.")
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in types:
        file = options.out / f"demo-{kind}.gguf"
        write(file, kind)
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def write(file: Path, kind: str) -> None:
    """Write the demo in one type."""
    gguf = _gguf()
    writer = gguf.GGUFWriter(file, "qwen3")
    _add_shape(writer, json.loads((ORIGINAL / "config.json").read_text("utf-8")))
    writer.add_file_type(gguf.LlamaFileType[FILE_TYPES[kind]])
    _add_tokenizer(writer, gguf)
    if kind == "nvfp4":
        _keep_activations_wide(writer)
    for name, tensor, held in _shipped() if kind == "nvfp4" else _rounded(kind):
        if held == "packed":
            writer.add_tensor(name, tensor.numpy(), raw_dtype=gguf.GGMLQuantizationType.NVFP4)
        else:
            plain = gguf.GGMLQuantizationType[held.upper()]
            data = gguf.quants.quantize(tensor.float().numpy(), plain)
            writer.add_tensor(name, data, raw_dtype=plain)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


Tensors = Iterator[tuple[str, Tensor, str]]
"""Names of GGUF, values, and what to hold them as; ``packed`` ones are bytes already."""


def _rounded(kind: str) -> Tensors:
    """The original, its linears to be held as ``kind``."""
    original = load_file(ORIGINAL / "model.safetensors")
    yield from _unquantised(original, kind)
    for name, tensor in original.items():
        if renamed := _linear(name.removesuffix(".weight")):
            yield f"{renamed}.weight", tensor, kind


def _shipped() -> Tensors:
    """The checkpoint as it is, its codes in another order."""
    shipped = load_file(SHIPPED / "model.safetensors")
    yield from _unquantised(shipped, "nvfp4")
    for name, packed in shipped.items():
        if not name.endswith(".weight_packed"):
            continue
        module = name.removesuffix(".weight_packed")
        renamed = _linear(module)
        yield f"{renamed}.weight", nvfp4_blocks(packed, shipped[module + ".weight_scale"]), "packed"
        # compressed-tensors stores the divisor where GGUF keeps the multiplier.
        yield f"{renamed}.scale", 1 / shipped[module + ".weight_global_scale"].float(), "f32"


def nvfp4_blocks(packed: Tensor, scale: Tensor) -> Tensor:
    """Put the codes of a matrix into ggml's order.

    Args:
        packed: uint8 ``[N, K / 2]``, two neighbours a byte, the first in the low half.
        scale: E4M3 ``[N, K / 16]``.

    Returns:
        uint8 ``[N, 36 * K / 64]``.
    """
    rows = len(packed)
    pairs = packed.reshape(rows, -1, 8)
    codes = torch.stack([pairs & 15, pairs >> 4], dim=-1).reshape(rows, -1, 16)
    halves = codes[..., :8] | codes[..., 8:] << 4
    scales = scale.view(torch.uint8).reshape(rows, -1, 4)
    return torch.cat([scales, halves.reshape(rows, -1, 32)], dim=-1).reshape(rows, -1)


def _unquantised(tensors: dict[str, Tensor], kind: str) -> Tensors:
    """Norms, which llama.cpp wants in float32, and the embedding."""
    for name, tensor in tensors.items():
        if tensor.dim() == 1 and (renamed := _norm(name)):
            yield renamed, tensor, "f32"
    embedding = "model.embed_tokens.weight"
    yield WHOLE[embedding], tensors[embedding], EMBEDDINGS.get(kind, "bf16")


def _norm(name: str) -> str | None:
    if name in WHOLE:
        return WHOLE[name]
    renamed = _in_layer(name.removesuffix(".weight"), NORMS)
    return f"{renamed}.weight" if renamed else None


def _linear(module: str) -> str | None:
    return _in_layer(module, LINEARS)


def _in_layer(module: str, names: dict[str, str]) -> str | None:
    if not module.startswith("model.layers."):
        return None
    number, _, part = module.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{names[part]}" if part in names else None


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    writer.add_name("localfp4 demo")
    writer.add_license("apache-2.0")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])


def _keep_activations_wide(writer: Any) -> None:
    """Tell llama.cpp that this is W4A16, so that it rounds no activations to 4 bits on a GPU."""
    layers = range(json.loads((SHIPPED / "config.json").read_text("utf-8"))["num_hidden_layers"])
    names = [f"blk.{layer}.{linear}.weight" for layer in layers for linear in LINEARS.values()]
    writer.add_array("general.tensor_extra.name", names)
    writer.add_array("general.tensor_extra.prec_a4", [False] * len(names))


def _add_tokenizer(writer: Any, gguf: Any) -> None:
    """Add the byte-level BPE; its pieces are those of Qwen2's pattern, save for ``'Sx`` and the like."""
    tokenizer = json.loads((ORIGINAL / "tokenizer.json").read_text("utf-8"))
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    words = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if ids[w] in special else gguf.TokenType.NORMAL for w in words]
    )
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((ORIGINAL / "chat_template.jinja").read_text("utf-8"))


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        sys.exit("This needs the package gguf: pip install gguf")
    return gguf


if __name__ == "__main__":
    main()
