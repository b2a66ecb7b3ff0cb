"""Which checkpoints vLLM loads, and why it does not load the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localfp4.checkpoint.index import open_checkpoint
from localfp4.errors import UnsupportedModelError
from localfp4.server.handover.check import _METHODS, _MODELOPT, check
from localfp4.server.handover.facts import CheckpointFacts
from tests.server.handover.vllm_parser import FACTS

NVFP4 = {
    "type": "float",
    "num_bits": 4,
    "strategy": "tensor_group",
    "group_size": 16,
    "symmetric": True,
}
MXFP4 = {**NVFP4, "strategy": "group", "group_size": 32}
FP8 = {"type": "float", "num_bits": 8, "strategy": "channel", "symmetric": True}
INT4 = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 128, "symmetric": False}
INT8 = {"type": "int", "num_bits": 8, "strategy": "channel", "symmetric": True}
TOKEN8 = {"type": "int", "num_bits": 8, "strategy": "token", "dynamic": True, "symmetric": True}


def config(weights: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, **more: Any) -> Any:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **more}


def checked(quantisation: Any) -> None:
    check(CheckpointFacts("qwen3", quantisation))


@pytest.mark.parametrize(
    "quantisation",
    [
        None,
        config(NVFP4, format="nvfp4-pack-quantized"),
        config(NVFP4, {**NVFP4, "dynamic": "local"}),
        config(MXFP4),
        config(MXFP4, {**MXFP4, "dynamic": True}),
        config(FP8, format="float-quantized"),
        config(FP8, {**FP8, "strategy": "token", "dynamic": True}),
        config(INT4, format="pack-quantized"),
        config(INT4, TOKEN8, format="pack-quantized"),
        config(INT8, TOKEN8, format="int-quantized"),
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        {"quant_method": "modelopt", "quant_algo": "w4a16_nvfp4"},
    ],
)
def test_what_it_loads(quantisation: Any) -> None:
    checked(quantisation)


@pytest.mark.parametrize(
    ("quantisation", "words"),
    [
        (config(NVFP4, {**FP8, "strategy": "tensor"}), "4-bit float in groups of 16 with 8-bit"),
        (config({**NVFP4, "group_size": 32}), "4-bit float in groups of 32 with 16-bit"),
        (config(INT4, format="something"), "4-bit int in groups of 128"),
        (config({**INT4, "actorder": "group"}, format="pack-quantized"), "order of activations"),
        (config(INT4, FP8, format="pack-quantized"), "128 with 8-bit float activations"),
        (config(NVFP4, sparsity_config={"targets": ["Linear"]}), "sparse"),
        ({"quant_method": "fp_quant"}, "has retired FP-Quant"),
        ({"quant_method": "bitsandbytes"}, "no quantisation called bitsandbytes"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "ModelOpt's W4A8_AWQ"),
        ({}, "the config names no quant_method"),
    ],
)
def test_what_it_does_not_load_is_refused_with_the_reason(quantisation: Any, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"^vLLM 0\.33\.0 .*or serve it here\.$") as one:
        checked(quantisation)
    assert words in str(one.value)


@pytest.mark.parametrize(
    ("name", "loads"),
    [
        ("awq", True),
        ("gptq", True),
        ("m_qwen3", True),
        ("ct_FP8_BLOCK", True),
        ("ct_MXFP8", True),
        ("ct_W4A16", True),
        ("ct_W4A16_ASYM", True),
        ("ct_W4A16_CHANNEL", True),
        ("ct_qwen3_MIX", True),
        ("ct_qwen3_MXFP4", True),
        ("ct_qwen3_NVFP4A16", True),
        ("ct_qwen3_moe_NVFP4", True),
        ("mo_FP8_PB_WO", True),
        ("mo_qwen3_MIXED", True),
        ("mo_qwen3_W4A16_NVFP4_CFG", True),
        ("mo_NVFP4_AWQ", False),
        ("mo_NVFP4_SVD", False),
        ("mo_W4A8_MXFP4_FP8", False),
        ("mo_gpt_oss_MXFP4", False),
    ],
)
def test_checkpoints_of_the_exporters_themselves(name: str, loads: bool, fixtures: Path) -> None:
    quantisation = open_checkpoint(fixtures / name).quant_config
    if loads:
        checked(quantisation)
    else:
        with pytest.raises(UnsupportedModelError):
            checked(quantisation)


def test_its_source_knows_every_method_that_passes() -> None:
    assert set(_METHODS) <= set(FACTS["quantization_methods"])
    assert sorted(_MODELOPT) == sorted(FACTS["modelopt_algorithms"])
    assert "bitsandbytes" not in FACTS["quantization_methods"]
