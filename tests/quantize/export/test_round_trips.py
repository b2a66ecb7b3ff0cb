"""Exports that transformers, compressed-tensors and localfp4 itself load and agree on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CompressedTensorsConfig,
)

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import find
from localfp4.checkpoint.kinds import linear_kind
from localfp4.llm import LLM
from localfp4.models.opened import open_model
from localfp4.quantize.recipe import Recipe, WeightFormat
from tests.models import tiny
from tests.quantize.export.by_hand import exported, results
from tests.quantize.export.written_out import written_out

IDS = tiny.token_ids(24)
W4A16, W4A4 = Recipe("rtn"), Recipe("rtn", "w4a4")
MXFP4 = Recipe("rtn", "w4a16", "mxfp4")
MIX: dict[str, WeightFormat] = {
    "0.self_attn.q_proj": "fp8",
    "1.self_attn.q_proj": "fp8",
    "2.self_attn.o_proj": "fp8",
    "down_proj": "mxfp4",
}


def source_of(name: str, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Save a tiny model in a type in which nothing that is rounded here loses anything."""
    return tiny.save(tiny.build(name).to(dtype), folder / "source")


def loaded(folder: Path, **options: Any) -> Any:
    """Load an export with transformers, expanded where it says how, and compute in float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    is_text = "text_config" not in config
    auto: Any = AutoModelForCausalLM if is_text else AutoModelForImageTextToText
    model, info = auto.from_pretrained(
        folder, dtype="auto", attn_implementation="eager", output_loading_info=True, **options
    )
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert all(name.endswith(".input_global_scale") for name in info["unexpected_keys"])
    tiny.logits_of(model, IDS)  # compressed-tensors expands weights when they are first used
    return torch.nn.Module.float(model)


def ours(folder: Path, name: str, **options: Any) -> torch.Tensor:
    with tiny.open_llm(folder, context=tiny.CONTEXTS[name], **options) as llm:
        return llm.logits(IDS)


def agree(found: torch.Tensor, expected: torch.Tensor, otherwise: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tiny.TOLERANCE)
    assert (found - otherwise).abs().max() > 100 * tiny.TOLERANCE


def test_transformers_loads_an_export(tmp_path: Path) -> None:
    source = source_of("qwen3", tmp_path)
    out = exported(source, tmp_path / "out", W4A16)
    agree(ours(out, "qwen3"), tiny.logits_of(loaded(out), IDS), ours(source, "qwen3"))


@pytest.mark.slow
def test_transformers_loads_a_quantised_head(tmp_path: Path) -> None:
    source = source_of("qwen3_moe", tmp_path)
    out = exported(source, tmp_path / "out", replace(MXFP4, keep=()))
    assert "lm_head.weight_packed" in load_file(out / "model.safetensors")
    agree(ours(out, "qwen3_moe"), tiny.logits_of(loaded(out), IDS), ours(source, "qwen3_moe"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("qwen3", MXFP4),
        ("qwen3_moe", MXFP4),
        ("qwen3_vl", W4A16),
        ("gemma3-vision", W4A16),
        ("mistral3", W4A16),
        ("qwen3_5", W4A16),
        ("gemma4", W4A16),
        ("phi3", W4A16),
    ],
)
def test_transformers_loads_exports_of_many_families(
    tmp_path: Path, name: str, recipe: Recipe
) -> None:
    source = source_of(name, tmp_path)
    out = exported(source, tmp_path / "out", recipe)
    agree(ours(out, name), tiny.logits_of(loaded(out), IDS), ours(source, name))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
@pytest.mark.parametrize("name", ["qwen3", "qwen3_vl"])
def test_transformers_loads_weights_for_4_bit_inputs(tmp_path: Path, name: str) -> None:
    source = source_of(name, tmp_path)
    out = exported(source, tmp_path / "out", W4A4)
    wide = loaded(out, quantization_config=CompressedTensorsConfig(dequantize=True))
    agree(ours(out, name), tiny.logits_of(wide, IDS), ours(source, name))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["w4a16", "w4a4"])
def test_transformers_tells_the_formats_of_a_mixture_apart(tmp_path: Path, precision: Any) -> None:
    source, recipe = source_of("qwen3", tmp_path), Recipe("rtn", precision)
    made = results(open_model(find(str(source))), recipe, MIX)
    out = exported(source, tmp_path / "out", recipe, made)
    model = loaded(out)
    for module in model.modules():
        module.quantization_enabled = False  # inputs stay as they are, as ours do on a CPU
    agree(ours(out, "qwen3"), tiny.logits_of(model, IDS), ours(source, "qwen3"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("qwen3_moe", W4A4),
        ("gpt_oss", W4A16),
        ("gemma4-moe", W4A16),
        ("mixtral", W4A16),
        ("deepseek_v3", W4A4),
        ("qwen3_5_moe", W4A16),
        ("nemotron_h", W4A16),
        ("qwen3_moe", Recipe("rtn", "w4a4", export="modelopt")),
        ("gpt_oss", Recipe("rtn", export="modelopt")),
        ("qwen3", Recipe("mr-gptq", "w4a4", rotation=32, export="fp-quant")),
        ("gemma3-vision", Recipe("mr-gptq", "w4a4", "mxfp4", rotation=32, export="fp-quant")),
        ("qwen3_moe", Recipe("mr-gptq", "w4a16", rotation=16, export="fp-quant")),
    ],
)
def test_our_reading_is_what_transformers_makes_of_the_same_numbers(
    tmp_path: Path, name: str, recipe: Recipe
) -> None:
    """Whatever transformers itself cannot load: it gets the numbers in 16 or 32 bits."""
    dtype = torch.float32 if recipe.rotation else torch.bfloat16
    source = source_of(name, tmp_path, dtype)
    made = results(open_model(find(str(source))), recipe)
    out = exported(source, tmp_path / "out", recipe, made)
    wide = loaded(written_out(source, tmp_path / "wide", made))
    agree(ours(out, name), tiny.logits_of(wide, IDS), ours(source, name))


@pytest.mark.parametrize("fixture", ["m_qwen3_moe", "m_gpt_oss"])
@pytest.mark.parametrize("recipe", [W4A4, MXFP4])
def test_compressed_tensors_expands_every_expert(
    fixtures: Path, tmp_path: Path, fixture: str, recipe: Recipe
) -> None:
    """transformers 5.23 forgets the global scales of experts in NVFP4; the library does not."""
    made = results(open_model(find(str(fixtures / fixture))), recipe)
    out = exported(fixtures / fixture, tmp_path / "out", recipe, made)
    stored = load_file(out / "model.safetensors")
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    (scheme,) = QuantizationConfig.model_validate(config).config_groups.values()
    compressor = BaseCompressor.get_value_from_registry(scheme.format)
    for one in (site for layer in range(3) for site in made(layer).sites):
        for prefix, start, end in one.site.parts():
            own = {
                name.removeprefix(f"{prefix}."): tensor
                for name, tensor in stored.items()
                if name.startswith(f"{prefix}.weight")
            }
            expanded = compressor.decompress(own, scheme)["weight"]
            assert torch.equal(expanded.float(), one.codes.dequantised()[start:end]), prefix


@pytest.mark.parametrize(
    ("recipe", "title"),
    [
        (W4A16, "NVFP4 W4A16"),
        (Recipe("rtn", "w4a8"), "NVFP4 W4A8"),
        (W4A4, "NVFP4 W4A4"),
        (MXFP4, "MXFP4 W4A16"),
        (Recipe("rtn", "w4a8", "mxfp4"), "MXFP4 W4A8"),
        (Recipe("rtn", "w4a4", "mxfp4"), "MXFP4 W4A4"),
        (Recipe("rtn", "w4a16", export="modelopt"), "NVFP4 W4A16"),
        (Recipe("rtn", "w4a4", export="modelopt"), "NVFP4 W4A4"),
        (Recipe("rtn", "w4a8", "mxfp4", export="modelopt"), "MXFP4 W4A8"),
        (Recipe("rtn", "w4a16", rotation=16, export="fp-quant"), "NVFP4 W4A16 + Hadamard 16"),
        (Recipe("rtn", "w4a4", rotation=32, export="fp-quant"), "NVFP4 W4A4 + Hadamard 32"),
        (
            Recipe("rtn", "w4a16", "mxfp4", rotation=32, export="fp-quant"),
            "MXFP4 W4A16 + Hadamard 32",
        ),
        (
            Recipe("rtn", "w4a4", "mxfp4", rotation=16, export="fp-quant"),
            "MXFP4 W4A4 + Hadamard 16",
        ),
    ],
)
def test_localfp4_knows_what_an_export_was_made_for(
    fixtures: Path, tmp_path: Path, recipe: Recipe, title: str
) -> None:
    opened = open_model(find(str(exported(fixtures / "m_qwen3_moe", tmp_path / "out", recipe))))
    assert format_name(opened.checkpoint) == title


def test_localfp4_knows_the_formats_of_a_mixture(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "m_qwen3"
    made = results(open_model(find(str(source))), W4A4, MIX)
    found = open_model(find(str(exported(source, tmp_path / "out", W4A4, made)))).checkpoint
    names = ("self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj")
    kinds = [linear_kind(found, f"model.layers.0.{name}") for name in names]
    assert [type(kind).__name__ for kind in kinds] == ["FP8", "NVFP4", "MXFP4"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "gemma3"])
def test_4_bit_inputs_are_rounded_as_transformers_rounds_them(tmp_path: Path, name: str) -> None:
    """With the scales that were written, to the last bit."""
    source = source_of(name, tmp_path)
    out = exported(source, tmp_path / "out", W4A4)
    options: dict[str, Any] = {
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "max_model_len": 256,
    }
    with LLM(str(out), kernels="emulated", precision="w4a4", **options) as llm:
        narrow = llm.logits(IDS)
    agree(narrow, tiny.logits_of(loaded(out), IDS), ours(out, name))
