"""The tensors of a whole decoder, from its config; torch-free."""

from localfp4.checkpoint.synthetic.feed_forwards import (
    gemma_mixture,
    gpt_oss_mixture,
    mlp,
    qwen_mixture,
)
from localfp4.checkpoint.synthetic.layout import Layout
from localfp4.checkpoint.synthetic.mix import PLAIN, Mix
from localfp4.checkpoint.synthetic.mixers import Settings, adds_one, attention, gated_delta

_SANDWICH = ("pre_feedforward_layernorm", "post_feedforward_layernorm")


def add_decoder(layout: Layout, config: Settings, mix: Mix) -> None:
    """Add what a model of this config has; towers for images and sound are left out."""
    settings, root = config, "model"
    if "text_config" in config:
        settings, root = config["text_config"], "model.language_model"
    hidden, table = settings["hidden_size"], (settings["vocab_size"], settings["hidden_size"])
    layout.tensor(f"{root}.embed_tokens.weight", table)
    for index in range(settings["num_hidden_layers"]):
        _layer(layout, f"{root}.layers.{index}", settings, _kind(settings, index), mix)
    layout.norm(f"{root}.norm", hidden, plus_one=adds_one(settings))
    if not config["tie_word_embeddings"]:
        layout.linear("lm_head", *table, mix.head)
    if settings.get("mtp_num_hidden_layers"):
        _mtp(layout, settings)


def _kind(settings: Settings, index: int) -> str:
    """Return the type of a layer's mixer, such as ``linear_attention``."""
    kinds = settings.get("layer_types")
    return "full_attention" if kinds is None else str(kinds[index])


def _layer(layout: Layout, name: str, settings: Settings, kind: str, mix: Mix) -> None:
    family, hidden = settings["model_type"], settings["hidden_size"]
    norms = ("input_layernorm", "post_attention_layernorm")
    for norm in (*norms, *(_SANDWICH if family.startswith("gemma") else ())):
        layout.norm(f"{name}.{norm}", hidden, plus_one=adds_one(settings))
    if kind == "linear_attention":
        gated_delta(layout, f"{name}.linear_attn", settings, mix.attention)
    else:
        attention(layout, f"{name}.self_attn", settings, kind, mix.attention)
    match family:
        case "gemma4_text":
            gemma_mixture(layout, name, settings, mix)
        case "gpt_oss":
            gpt_oss_mixture(layout, f"{name}.mlp", settings, mix)
        case "qwen3_moe" | "qwen3_5_moe_text":
            qwen_mixture(layout, f"{name}.mlp", settings, mix)
        case _:
            mlp(layout, f"{name}.mlp", settings["intermediate_size"], hidden, mix.mlp)


def _mtp(layout: Layout, settings: Settings) -> None:
    """Add the head that predicts the token after the next, which exporters do not quantise."""
    hidden = settings["hidden_size"]
    layout.linear("mtp.fc", hidden, 2 * hidden)
    for norm in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
        layout.norm(f"mtp.{norm}", hidden, plus_one=adds_one(settings))
    for index in range(settings["mtp_num_hidden_layers"]):
        _layer(layout, f"mtp.layers.{index}", settings, "full_attention", PLAIN)
