"""Names in configs: what compressed-tensors' own matching makes of them."""

from dataclasses import replace

import pytest
import torch
from compressed_tensors.utils.match import is_match

from localfp4.quantize.export.configs.compressed_tensors import compressed_tensors_config
from localfp4.quantize.export.configs.contents import Contents
from localfp4.quantize.export.configs.fp_quant import fp_quant_config
from localfp4.quantize.recipe import WeightFormat

HEAD = "model.language_model."
LINEAR = torch.nn.Linear(1, 1)

QUANTISED: dict[str, WeightFormat] = {
    "layers.1.self_attn.q_proj": "fp8",
    "layers.11.self_attn.q_proj": "nvfp4",
    "layers.1.mlp.gate_proj": "nvfp4",
    "layers.1.mlp.experts.0.up_proj": "nvfp4",
    "layers.1.mlp.experts.17.up_proj": "nvfp4",
    "layers.11.mlp.experts.17.up_proj": "fp8",
}
KEPT = ("layers.1.mlp.gate", "layers.11.self_attn.o_proj")
TOWERS = (
    "model.visual.blocks.1.self_attn.q_proj",
    "model.visual.layers.1.self_attn.q_proj",
    "visual.layers.1.mlp.gate_proj",
)


@pytest.fixture
def contents() -> Contents:
    return Contents(
        quantised={HEAD + name: format for name, format in QUANTISED.items()},
        kept=tuple(HEAD + name for name in KEPT),
        embeddings=(f"{HEAD}embed_tokens",),
        towers=("visual",),
    )


def of_one_format(contents: Contents, format: WeightFormat) -> Contents:
    return replace(contents, quantised=dict.fromkeys(contents.quantised, format))


@pytest.mark.parametrize("head", [HEAD, "model.", "language_model.model."])
def test_patterns_fit_their_own_linears_under_every_wrapper(contents: Contents, head: str) -> None:
    config = compressed_tensors_config(contents, "w4a16")
    assert config["format"] == "mixed-precision"
    groups = {group["format"]: group["targets"] for group in config["config_groups"].values()}
    assert not any("Linear" in targets for targets in groups.values())
    for name, format in QUANTISED.items():
        fitting = [
            layout
            for layout, targets in groups.items()
            if is_match(head + name, LINEAR, targets, config["ignore"])
        ]
        assert fitting == ["float-quantized" if format == "fp8" else "nvfp4-pack-quantized"], name


def test_what_stays_is_ignored_and_nothing_else(contents: Contents) -> None:
    for one in (contents, of_one_format(contents, "nvfp4")):
        config = compressed_tensors_config(one, "w4a4")
        targets = [t for group in config["config_groups"].values() for t in group["targets"]]
        for name in (*TOWERS, *contents.kept, "lm_head"):
            assert not is_match(name, LINEAR, targets, config["ignore"]), name
        for name in one.quantised:
            assert is_match(name, LINEAR, targets, config["ignore"]), name


def test_a_head_of_its_own_is_named_as_the_file_names_it(contents: Contents) -> None:
    quantised: dict[str, WeightFormat] = {"language_model.lm_head": "nvfp4"}
    config = compressed_tensors_config(Contents(quantised, (), (), ()), "w4a16")
    assert config["ignore"] == []
    assert (
        "lm_head"
        not in fp_quant_config(Contents(quantised, (), (), ()), 16)["modules_to_not_convert"]
    )
    kept = Contents(contents.quantised, ("language_model.lm_head",), (), ())
    assert compressed_tensors_config(kept, "w4a16")["ignore"] == [
        "language_model.lm_head",
        "lm_head",
    ]


@pytest.mark.parametrize("name", ["lm_head", "language_model.lm_head"])
def test_a_quantised_head_is_a_target_by_its_name(name: str) -> None:
    """vLLM's and SGLang's heads are of a class that the target ``Linear`` does not fit."""

    class ParallelLMHead(torch.nn.Module):
        pass

    def targets(*names: str) -> list[str]:
        contents = Contents(dict.fromkeys(names, "nvfp4"), (), (), ())
        (group,) = compressed_tensors_config(contents, "w4a16")["config_groups"].values()
        found: list[str] = group["targets"]
        return found

    others = "model.layers.0.mlp.up_proj"
    assert is_match(name, ParallelLMHead(), targets(name, others))
    assert not is_match(name, ParallelLMHead(), targets(others))
    assert is_match(others, LINEAR, targets(name, others))


def test_mixtures_in_a_deep_model_are_told_in_few_words() -> None:
    """Mixtures have thousands of experts, and configs are read by people, too."""
    quantised: dict[str, WeightFormat] = {
        f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj": "fp8" if layer < 3 else "nvfp4"
        for layer in range(48)
        for expert in range(128)
        for part in ("gate", "up", "down")
    }
    config = compressed_tensors_config(Contents(quantised, (), (), ()), "w4a16")
    assert config["config_groups"]["group_0"]["targets"] == [
        rf"re:.*\blayers\.(0|1|2)\.mlp\.experts\.\d+\.{part}_proj$"
        for part in ("down", "gate", "up")
    ]


def test_fp_quant_says_how_inputs_are_rotated(contents: Contents) -> None:
    config = fp_quant_config(of_one_format(contents, "mxfp4"), 64)
    assert config["quant_method"] == "fp_quant"
    assert (config["forward_dtype"], config["hadamard_group_size"]) == ("mxfp4", 64)
    assert config["modules_to_not_convert"] == [*contents.kept, "visual", "lm_head"]
