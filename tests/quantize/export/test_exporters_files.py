"""Exports against the files that llm-compressor and ModelOpt wrote of the same models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

from localfp4.checkpoint.hub import find
from localfp4.models.opened import open_model
from localfp4.quantize.recipe import Recipe, Rounding
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.nearest import round_to_nearest
from tests.quantize.export.by_hand import Results, exported, matrices, sites_of

KV_SCALES = ("k_scale", "v_scale")
"""Of caches, which are not quantised here."""


def calibrated(folder: Path, recipe: Recipe, theirs: dict[str, torch.Tensor]) -> Results:
    """Round as the exporters do, for the inputs that they saw."""
    opened = open_model(find(str(folder)))
    weights = dict(matrices(opened))
    sites: dict[int, list[QuantisedSite]] = {}
    for layer, site in sites_of(opened, recipe):
        whole = torch.cat([weights[prefix] for prefix in site.prefixes])
        codes = round_to_nearest(whole, recipe.format, recipe.rounding)
        sites.setdefault(layer, []).append(QuantisedSite(site, codes, seen(theirs, site.name)))
    return lambda index: LayerResult(index, tuple(sites.get(index, ())))


def seen(theirs: dict[str, torch.Tensor], name: str) -> float | None:
    """Return the largest input that an exporter saw."""
    if f"{name}.input_scale" in theirs:
        return 2688 * theirs[f"{name}.input_scale"].item()
    if f"{name}.input_global_scale" in theirs:
        return 2688 / theirs[f"{name}.input_global_scale"].item()
    return None


@pytest.mark.parametrize(
    ("source", "fixture", "recipe"),
    [
        ("m_qwen3", "ct_qwen3_NVFP4A16", Recipe("rtn")),
        ("m_qwen3", "ct_qwen3_MXFP4", Recipe("rtn", "w4a4", "mxfp4")),
        ("m_qwen3_moe", "ct_qwen3_moe_NVFP4", Recipe("rtn", "w4a4")),
        ("m_gpt_oss", "ct_gpt_oss_NVFP4A16", Recipe("rtn")),
        ("m_qwen3", "mo_qwen3_W4A16_NVFP4_CFG", Recipe("rtn", export="modelopt")),
        ("m_qwen3", "mo_qwen3_NVFP4_DEFAULT_CFG", Recipe("rtn", "w4a4", export="modelopt")),
        ("m_qwen3_moe", "mo_qwen3_moe_NVFP4_DEFAULT_CFG", Recipe("rtn", "w4a4", export="modelopt")),
    ],
)
def test_weights_are_those_of_the_exporters_bit_for_bit(
    fixtures: Path, tmp_path: Path, source: str, fixture: str, recipe: Recipe
) -> None:
    own = Rounding("rtn", "absmax", divides=recipe.export == "compressed-tensors")
    recipe = Recipe(recipe.method, recipe.precision, recipe.format, own, export=recipe.export)
    theirs = load_file(fixtures / fixture / "model.safetensors")
    results = calibrated(fixtures / source, recipe, theirs)
    out = exported(fixtures / source, tmp_path / "out", recipe, results)
    ours = load_file(out / "model.safetensors")
    assert ours.keys() == {name for name in theirs if not name.endswith(KV_SCALES)}
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        if "input" in name:  # the largest input went through float32 and back
            torch.testing.assert_close(tensor, theirs[name], rtol=3e-7, atol=0)
        else:
            assert tensor.shape == theirs[name].shape, name
            assert torch.equal(bits(tensor), bits(theirs[name])), name


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)


CT_RECIPES = {
    "ct_qwen3_NVFP4A16": ("m_qwen3", Recipe("rtn")),
    "ct_qwen3_MXFP4": ("m_qwen3", Recipe("rtn", "w4a4", "mxfp4")),
    "ct_qwen3_moe_NVFP4": ("m_qwen3_moe", Recipe("rtn", "w4a4")),
    "ct_gpt_oss_NVFP4A16": ("m_gpt_oss", Recipe("rtn")),
}
MO_RECIPES = {
    "mo_qwen3_W4A16_NVFP4_CFG": ("m_qwen3", Recipe("rtn", export="modelopt")),
    "mo_qwen3_NVFP4_DEFAULT_CFG": ("m_qwen3", Recipe("rtn", "w4a4", export="modelopt")),
    "mo_qwen3_moe_NVFP4_DEFAULT_CFG": ("m_qwen3_moe", Recipe("rtn", "w4a4", export="modelopt")),
    "mo_MXFP4": ("m_qwen3_160", Recipe("rtn", "w4a16", "mxfp4", export="modelopt")),
    "mo_W4A8_MXFP4_FP8": ("m_qwen3_160", Recipe("rtn", "w4a8", "mxfp4", export="modelopt")),
}


@pytest.mark.parametrize("fixture", CT_RECIPES)
def test_compressed_tensors_reads_the_config_as_that_of_llm_compressor(
    fixtures: Path, tmp_path: Path, fixture: str
) -> None:
    source, recipe = CT_RECIPES[fixture]
    exported(fixtures / source, tmp_path / "out", recipe)
    ours, theirs = (schemes(folder) for folder in (tmp_path / "out", fixtures / fixture))
    ignored, as_ignored = set(ours.pop("ignore")), set(theirs.pop("ignore"))
    assert ours == theirs
    assert ignored == as_ignored


@pytest.mark.parametrize("fixture", MO_RECIPES)
def test_configs_are_those_of_modelopt(fixtures: Path, tmp_path: Path, fixture: str) -> None:
    source, recipe = MO_RECIPES[fixture]
    out = exported(fixtures / source, tmp_path / "out", recipe)
    ours, theirs = read_json(out / "config.json"), read_json(fixtures / fixture / "config.json")
    theirs["quantization_config"].pop("kv_cache_scheme", None)
    assert ours["quantization_config"] == theirs["quantization_config"]
    ours, theirs = (read_json(f / "hf_quant_config.json") for f in (out, fixtures / fixture))
    theirs["quantization"]["kv_cache_quant_algo"] = None
    assert ours == theirs


def schemes(folder: Path) -> dict[str, Any]:
    """Return what compressed-tensors makes of a config, without how scales were found."""
    config = read_json(folder / "config.json")["quantization_config"]
    config["kv_cache_scheme"] = None
    read: dict[str, Any] = QuantizationConfig.model_validate(config).model_dump()
    for group in read["config_groups"].values():
        for part in ("weights", "input_activations"):
            for key in ("observer", "observer_kwargs", "zp_dtype"):
                (group[part] or {}).pop(key, None)
    return read


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
