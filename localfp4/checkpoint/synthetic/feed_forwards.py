"""The tensors of feed-forward networks, under the names that exporters give them; torch-free."""

from localfp4.checkpoint.synthetic.fills import BF16_ONES, CODES, E8M0_SCALES
from localfp4.checkpoint.synthetic.forms import Form
from localfp4.checkpoint.synthetic.layout import Layout
from localfp4.checkpoint.synthetic.mix import Mix
from localfp4.checkpoint.synthetic.mixers import Settings


def mlp(layout: Layout, name: str, size: int, hidden: int, form: Form) -> None:
    """Add a gated feed-forward network."""
    layout.linear(f"{name}.gate_proj", size, hidden, form)
    layout.linear(f"{name}.up_proj", size, hidden, form)
    layout.linear(f"{name}.down_proj", hidden, size, form)


def qwen_mixture(layout: Layout, name: str, settings: Settings, mix: Mix) -> None:
    """Add a router with its experts and, from Qwen3.5 on, one that every token visits."""
    hidden = settings["hidden_size"]
    layout.linear(f"{name}.gate", settings["num_experts"], hidden)
    _experts(layout, name, settings, mix.experts)
    if "shared_expert_intermediate_size" in settings:
        size = settings["shared_expert_intermediate_size"]
        mlp(layout, f"{name}.shared_expert", size, hidden, mix.experts)
        layout.linear(f"{name}.shared_expert_gate", 1, hidden)


def gemma_mixture(layout: Layout, layer: str, settings: Settings, mix: Mix) -> None:
    """Add what Gemma 4 has: a dense network and, on the same residual stream, experts."""
    hidden = settings["hidden_size"]
    mlp(layout, f"{layer}.mlp", settings["intermediate_size"], hidden, mix.mlp)
    layout.linear(f"{layer}.router.proj", settings["num_experts"], hidden)
    layout.tensor(f"{layer}.router.scale", (hidden,), BF16_ONES)
    layout.tensor(f"{layer}.router.per_expert_scale", (settings["num_experts"],), BF16_ONES)
    _experts(layout, layer, settings, mix.experts)
    for norm in ("pre_feedforward_layernorm_2", "post_feedforward_layernorm_1"):
        layout.norm(f"{layer}.{norm}", hidden)
    layout.norm(f"{layer}.post_feedforward_layernorm_2", hidden)
    layout.tensor(f"{layer}.layer_scalar", (1,), BF16_ONES)


def gpt_oss_mixture(layout: Layout, name: str, settings: Settings, mix: Mix) -> None:
    """Add a router with stacks of experts; those that are plain have their columns first."""
    hidden, size = settings["hidden_size"], settings["intermediate_size"]
    experts = settings["num_local_experts"]
    layout.linear(f"{name}.router", experts, hidden, bias=True)
    for part, rows, columns in (
        ("gate_up_proj", 2 * size, hidden),
        ("down_proj", hidden, size),
    ):
        stack, groups = f"{name}.experts.{part}", columns // 32
        if mix.stacks == "mxfp4":
            layout.tensor(f"{stack}_blocks", (experts, rows, groups, 16), CODES, "U8")
            layout.tensor(f"{stack}_scales", (experts, rows, groups), E8M0_SCALES, "U8")
        else:
            layout.tensor(stack, (experts, columns, rows))
        layout.tensor(f"{stack}_bias", (experts, rows))


def _experts(layout: Layout, name: str, settings: Settings, form: Form) -> None:
    hidden, size = settings["hidden_size"], settings["moe_intermediate_size"]
    for expert in range(settings["num_experts"]):
        mlp(layout, f"{name}.experts.{expert}", size, hidden, form)
