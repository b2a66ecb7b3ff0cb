"""The tensors of mixers, under the names that transformers gives them; torch-free."""

from collections.abc import Mapping
from typing import Any

from localfp4.checkpoint.synthetic.fills import BF16_ONES
from localfp4.checkpoint.synthetic.forms import Form
from localfp4.checkpoint.synthetic.layout import Layout

Settings = Mapping[str, Any]
"""A config.json, or the ``text_config`` in it."""

_PLUS_ONE = ("gemma3_text", "qwen3_5_text", "qwen3_5_moe_text")


def adds_one(settings: Settings) -> bool:
    """Say whether norms multiply by one plus their weight."""
    return settings["model_type"] in _PLUS_ONE


def attention(layout: Layout, name: str, settings: Settings, kind: str, form: Form) -> None:
    """Add the attention of a layer of some type, such as ``full_attention``."""
    family, hidden = settings["model_type"], settings["hidden_size"]
    heads, kv_heads = settings["num_attention_heads"], settings["num_key_value_heads"]
    dim = settings.get("head_dim") or hidden // heads
    has_values = True
    if family == "gemma4_text" and kind == "full_attention":
        dim, kv_heads = settings["global_head_dim"], settings["num_global_key_value_heads"]
        has_values = not settings["attention_k_eq_v"]
    query = heads * dim * (2 if settings.get("attn_output_gate") else 1)
    rows = {"q_proj": query, "k_proj": kv_heads * dim, "v_proj": kv_heads * dim}
    if not has_values:
        del rows["v_proj"]
    bias = bool(settings.get("attention_bias"))
    for part, size in rows.items():
        layout.linear(f"{name}.{part}", size, hidden, form, bias=bias)
    layout.linear(f"{name}.o_proj", hidden, heads * dim, form, bias=bias)
    if family == "gpt_oss":
        layout.tensor(f"{name}.sinks", (heads,))
    elif family != "llama":
        layout.norm(f"{name}.q_norm", dim, plus_one=adds_one(settings))
        layout.norm(f"{name}.k_norm", dim, plus_one=adds_one(settings))


def gated_delta(layout: Layout, name: str, settings: Settings, form: Form) -> None:
    """Add the Gated DeltaNet of a layer."""
    hidden = settings["hidden_size"]
    k_heads, v_heads = settings["linear_num_key_heads"], settings["linear_num_value_heads"]
    values = v_heads * settings["linear_value_head_dim"]
    channels = 2 * k_heads * settings["linear_key_head_dim"] + values
    layout.tensor(f"{name}.conv1d.weight", (channels, 1, settings["linear_conv_kernel_dim"]))
    layout.tensor(f"{name}.A_log", (v_heads,))
    layout.tensor(f"{name}.dt_bias", (v_heads,), BF16_ONES)
    layout.norm(f"{name}.norm", settings["linear_value_head_dim"])
    layout.linear(f"{name}.in_proj_qkv", channels, hidden, form)
    layout.linear(f"{name}.in_proj_z", values, hidden, form)
    layout.linear(f"{name}.in_proj_b", v_heads, hidden)
    layout.linear(f"{name}.in_proj_a", v_heads, hidden)
    layout.linear(f"{name}.out_proj", hidden, values, form)
