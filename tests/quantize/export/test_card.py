"""The model card, as a person and as the hub read it."""

import re
from dataclasses import replace

import pytest

from localfp4.quantize.export.card import CardFacts, model_card
from localfp4.quantize.export.figures import SiteFigure, figures_by_kind
from localfp4.quantize.recipe import CalibrationSource, Recipe
from localfp4.quantize.sites import Site

COMMAND = "localfp4 quantize org/Model-8B --precision w4a4"


def figure(name: str, error: float, *others: str, expert: int | None = None) -> SiteFigure:
    prefixes = (name, *(f"{name.rpartition('.')[0]}.{other}" for other in others))
    return SiteFigure(Site(prefixes, (64,) * len(prefixes), 32, expert), "nvfp4", error)


FIGURES = (
    figure("model.layers.0.self_attn.q_proj", 0.01, "k_proj", "v_proj"),
    figure("model.layers.1.self_attn.q_proj", 0.03, "k_proj", "v_proj"),
    figure("model.layers.1.mlp.down_proj", 0.0025),
)
EXPERTS = (
    figure("model.layers.0.mlp.experts.3.gate_proj", 0.01, "up_proj", expert=3),
    figure("model.layers.0.mlp.experts.4.gate_proj", 0.02, "up_proj", expert=4),
)
FACTS = CardFacts(
    original="org/Model-8B",
    folder="Model-8B-NVFP4",
    recipe=Recipe("gptq", "w4a4"),
    figures=FIGURES,
    bytes_before=16_400_000_000,
    bytes_after=6_000_000_000,
)


def test_a_card_says_what_how_and_how_good() -> None:
    card = model_card(replace(FACTS, notes=("Layer 3 is odd.",)))
    assert "# Model-8B, NVFP4 W4A4\n" in card
    assert f"```\n{COMMAND}\n```" in card
    assert re.search(r"\| size +\| 6\.00 GB, 37% of 16\.40 GB +\|", card)
    assert "localfp4 eval Model-8B-NVFP4 --reference org/Model-8B\n" in card
    assert "- Layer 3 is odd." in card
    row = r"\| self_attn\.q_proj, k_proj, v_proj \| 6 +\| nvfp4 +\| 2\.00% +\| 3\.00% +\| (\S+) +\|"
    worst = re.search(row, card)
    assert worst is not None
    assert worst[1] == "model.layers.1.self_attn.q_proj"
    assert "\n\n\n" not in card


def test_the_hub_finds_the_original_and_what_was_done() -> None:
    front = model_card(FACTS).split("---\n")[1]
    assert front.splitlines() == [
        "pipeline_tag: text-generation",
        "base_model: org/Model-8B",
        "base_model_relation: quantized",
        "tags:",
        "- nvfp4",
        "- compressed-tensors",
        "- localfp4",
    ]


@pytest.mark.parametrize("original", ["/home/me/secret/Model-8B/", "C:\\me\\secret\\Model-8B"])
def test_folders_of_this_computer_are_nobodys_business(original: str) -> None:
    source = CalibrationSource(source=f"{original}/notes.txt")
    recipe = Recipe("gptq", "w4a4", calibration=source)
    card = model_card(replace(FACTS, original=original, recipe=recipe))
    assert "# Model-8B, NVFP4 W4A4\n" in card
    assert "localfp4 quantize Model-8B --precision w4a4 --calibration notes.txt\n" in card
    assert "secret" not in card
    assert "base_model" not in card


@pytest.mark.parametrize(
    ("recipe", "figures", "said", "unsaid"),
    [
        (Recipe("gptq", "w4a4"), FIGURES, ["vllm serve", "AutoModelForCausalLM"], ["#48371"]),
        (Recipe("gptq", "w4a16"), EXPERTS, ["vllm serve", "#48371"], ["few programs"]),
        (
            Recipe("gptq", keep=()),
            (*FIGURES, figure("lm_head", 0.01)),
            ["#37291"],
            ["few programs"],
        ),
        (
            Recipe("gptq", keep=(), export="modelopt"),
            (*FIGURES, figure("lm_head", 0.01)),
            ["localfp4 chat"],
            ["vllm serve"],
        ),
        (Recipe("gptq", "w4a8"), FIGURES, ["few programs"], ["vllm serve"]),
        (Recipe("gptq", export="modelopt"), FIGURES, ["vllm serve"], ["AutoModelForCausalLM"]),
        (
            Recipe("mr-gptq", "w4a16", rotation=32, export="fp-quant"),
            FIGURES,
            ["always round inputs", "Hadamard, 32"],
            ["vllm serve", "AutoModelForCausalLM"],
        ),
    ],
)
def test_only_what_works_is_promised(
    recipe: Recipe, figures: tuple[SiteFigure, ...], said: list[str], unsaid: list[str]
) -> None:
    card = model_card(replace(FACTS, recipe=recipe, figures=figures))
    assert "localfp4 chat Model-8B-NVFP4" in card
    assert all(words in card for words in said)
    assert not any(words in card for words in unsaid)


@pytest.mark.parametrize("method", ["rtn", "awq", "smoothquant"])
def test_errors_without_hessians_are_those_of_weights(method: str) -> None:
    assert "Squared error of weights" in model_card(replace(FACTS, recipe=Recipe(method)))
    assert "Squared error of outputs" in model_card(FACTS)


def test_experts_of_all_layers_are_one_kind() -> None:
    (kind,) = figures_by_kind(EXPERTS)
    assert (kind.kind, kind.linears) == ("mlp.experts.gate_proj, up_proj", 4)
    assert kind.mean == pytest.approx(0.015)
    assert kind.worst == "model.layers.0.mlp.experts.4.gate_proj"
