from pathlib import Path
from typing import Any

import pytest

from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.kinds import (
    FORMATS,
    NVFP4,
    Dense,
    LinearKind,
    format_name,
    linear_kind,
    linear_shape,
)
from localfp4.errors import CheckpointError, UnsupportedModelError

Tensors = dict[str, tuple[str, list[int]]]

BF16 = Dense("BF16")
CT_16 = NVFP4("compressed-tensors", "none", 16)
CT_4 = NVFP4("compressed-tensors", "nvfp4", 16)
MO_16 = NVFP4("modelopt", "none", 16)
MO_4 = NVFP4("modelopt", "nvfp4", 16)

CT_TENSORS: Tensors = {
    "p.weight_packed": ("U8", [8, 32]),
    "p.weight_scale": ("F8_E4M3", [8, 4]),
    "p.weight_global_scale": ("F32", [1]),
}
MO_TENSORS: Tensors = {
    "p.weight": ("U8", [8, 32]),
    "p.weight_scale": ("F8_E4M3", [8, 4]),
    "p.weight_scale_2": ("F32", []),
}


def linears(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name every linear inside the layers, with the logical shape that its config implies."""
    config = checkpoint.config
    hidden, head_dim = config["hidden_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    moe = "num_local_experts" in config
    inner = config["moe_intermediate_size"] if moe else config["intermediate_size"]
    places = [f"mlp.experts.{e}" for e in range(config["num_local_experts"])] if moe else ["mlp"]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        attention = f"model.layers.{layer}.self_attn"
        shapes |= {f"{attention}.q_proj": (q, hidden), f"{attention}.o_proj": (hidden, q)}
        shapes |= {f"{attention}.{part}_proj": (kv, hidden) for part in "kv"}
        for place in places:
            name = f"model.layers.{layer}.{place}"
            shapes |= {f"{name}.{part}_proj": (inner, hidden) for part in ("gate", "up")}
            shapes[f"{name}.down_proj"] = (hidden, inner)
    return shapes


@pytest.mark.parametrize(
    ("name", "kind", "title"),
    [
        ("m_qwen3", BF16, "BF16"),
        ("m_qwen3_moe", BF16, "BF16"),
        ("ct_qwen3_NVFP4A16", CT_16, "NVFP4 W4A16"),
        ("ct_qwen3_moe_NVFP4", CT_4, "NVFP4 W4A4"),
        ("mo_qwen3_NVFP4_DEFAULT_CFG", MO_4, "NVFP4 W4A4"),
        ("mo_qwen3_moe_NVFP4_DEFAULT_CFG", MO_4, "NVFP4 W4A4"),
        ("mo_qwen3_W4A16_NVFP4_CFG", MO_16, "NVFP4 W4A16"),
    ],
)
def test_every_linear_of_every_fixture(
    fixtures: Path, name: str, kind: LinearKind, title: str
) -> None:
    checkpoint = open_checkpoint(fixtures / name)
    found = {p: linear_kind(checkpoint, p) for p in linears(checkpoint)}
    assert set(found.values()) == {kind}
    assert {p: linear_shape(checkpoint, p, kind) for p in found} == linears(checkpoint)
    assert linear_kind(checkpoint, "model.embed_tokens") == BF16
    assert format_name(checkpoint) == title


def test_mxfp4_is_refused_by_name(fixtures: Path) -> None:
    checkpoint = open_checkpoint(fixtures / "ct_qwen3_MXFP4")
    assert linear_kind(checkpoint, "model.embed_tokens") == BF16
    with pytest.raises(
        UnsupportedModelError, match=r"q_proj is stored as compressed-tensors MXFP4"
    ):
        linear_kind(checkpoint, "model.layers.0.self_attn.q_proj")
    assert format_name(checkpoint) == "compressed-tensors MXFP4"


FOREIGN: dict[str, tuple[str, Tensors]] = {
    "ct mxfp4": (
        "compressed-tensors MXFP4",
        {"p.weight_packed": ("U8", [8, 16]), "p.weight_scale": ("U8", [8, 1])},
    ),
    "ct int4": (
        "INT pack-quantized",
        {"p.weight_packed": ("I32", [8, 4]), "p.weight_scale": ("BF16", [8, 1])},
    ),
    "ct reordered": ("reordered groups", {**CT_TENSORS, "p.weight_g_idx": ("I32", [64])}),
    "ct uncompressed": (
        "not yet compressed",
        {"p.weight": ("BF16", [8, 8]), "p.weight_scale": ("BF16", [8, 1])},
    ),
    "mo awq": ("ModelOpt AWQ", {**MO_TENSORS, "p.pre_quant_scale": ("BF16", [64])}),
    "mo svd": (
        "NVFP4_SVD",
        {
            **MO_TENSORS,
            "p.pre_quant_scale": ("BF16", [64]),
            "p.weight_quantizer._svdquant_lora_a": ("BF16", [2, 64]),
            "p.weight_quantizer._svdquant_lora_b": ("BF16", [8, 2]),
        },
    ),
    "mo fp8 activations": ("W4A8_NVFP4_FP8", {**MO_TENSORS, "p.weight_scale": ("F8_E4M3", [8, 2])}),
    "mo mxfp4": (
        "MXFP4 (ModelOpt or Quark)",
        {"p.weight": ("U8", [8, 16]), "p.weight_scale": ("U8", [8, 1])},
    ),
    "mo experts": (
        "stacked experts",
        {"p": ("U8", [2, 8, 8]), "p_weight_scale": ("F8_E4M3", [2, 1, 8])},
    ),
    "gpt-oss": (
        "gpt-oss native MXFP4",
        {"p_blocks": ("U8", [2, 8, 1, 16]), "p_scales": ("U8", [2, 8, 1])},
    ),
    "fp-quant": (
        "FP-Quant",
        {
            "p.qweight": ("U8", [8, 16]),
            "p.scales": ("U8", [8, 1]),
            "p.forward_hadamard_matrix": ("BF16", [32, 32]),
        },
    ),
    "fp-quant pseudo": (
        "FP-Quant",
        {"p.dqweight": ("BF16", [8, 32]), "p.forward_hadamard_matrix": ("BF16", [32, 32])},
    ),
    "gptq": (
        "GPTQ",
        {"p.qweight": ("I32", [4, 8]), "p.qzeros": ("I32", [1, 1]), "p.g_idx": ("I32", [32])},
    ),
    "awq": ("AWQ", {"p.qweight": ("I32", [32, 1]), "p.qzeros": ("I32", [1, 1])}),
    "torchao": (
        "torchao",
        {"p._weight_qdata": ("U8", [8, 16]), "p._weight_scale": ("F8_E4M3", [8, 2])},
    ),
    "bitsandbytes": (
        "bitsandbytes 4-bit",
        {"p.weight": ("U8", [128, 1]), "p.weight.absmax": ("F32", [4])},
    ),
    "bitsandbytes 8": ("bitsandbytes INT8", {"p.weight": ("I8", [8, 8]), "p.SCB": ("F32", [8])}),
    "deepseek": ("DeepSeek", {"p.weight": ("I8", [8, 16]), "p.scale": ("F8_E8M0", [8, 1])}),
    "int8": ("INT8", {"p.weight": ("I8", [8, 8]), "p.weight_scale": ("BF16", [8, 1])}),
    "mxfp8": ("MXFP8", {"p.weight": ("F8_E4M3", [8, 32]), "p.weight_scale": ("U8", [8, 1])}),
    "fp8": ("FP8", {"p.weight": ("F8_E4M3", [8, 8]), "p.weight_scale": ("F32", [])}),
    "fp8 block": ("FP8", {"p.weight": ("F8_E4M3", [8, 8]), "p.weight_scale_inv": ("F32", [1, 1])}),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_formats_are_refused_by_name(make_checkpoint: Any, case: str) -> None:
    name, tensors = FOREIGN[case]
    checkpoint = make_checkpoint(tensors)
    with pytest.raises(UnsupportedModelError, match="this version cannot run") as error:
        linear_kind(checkpoint, "p")
    assert f"stored as {name}" in str(error.value) or name in str(error.value)
    assert name in format_name(checkpoint)


def test_no_row_of_the_table_is_out_of_reach() -> None:
    refused = {form.name for form in FORMATS if form.describe is None}
    named = [name for name, _ in FOREIGN.values()]
    assert {name for name in refused if not any(part in name for part in named)} == set()


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_dense_is_what_its_tensor_says_whatever_the_config_claims(
    make_checkpoint: Any, dtype: str
) -> None:
    config = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    checkpoint = make_checkpoint({"p.weight": (dtype, [4, 4]), "p.bias": (dtype, [4])}, config)
    assert linear_kind(checkpoint, "p") == Dense(dtype)
    assert format_name(checkpoint) == dtype


@pytest.mark.parametrize(("dtype", "columns"), [("U8", 32), ("I8", 32), ("F4", 64)])
@pytest.mark.parametrize("layout", ["compressed-tensors", "modelopt"])
def test_codes_may_be_called_bytes_or_half_bytes(
    make_checkpoint: Any, dtype: str, columns: int, layout: str
) -> None:
    tensors = dict(CT_TENSORS if layout == "compressed-tensors" else MO_TENSORS)
    tensors[next(iter(tensors))] = (dtype, [8, columns])
    checkpoint = make_checkpoint(tensors)
    kind = linear_kind(checkpoint, "p")
    assert kind == NVFP4(layout, "none", 16)  # type: ignore[arg-type]
    assert linear_shape(checkpoint, "p", kind) == (8, 64)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("p.weight_scale", ("F8_E4M3", [8, 3])),
        ("p.weight_scale", ("F8_E4M3", [8, 8])),
        ("p.weight_scale", ("F8_E4M3", [8, 0])),
        ("p.weight_scale", ("F8_E4M3", [4, 4])),
        ("p.weight_scale", ("F8_E4M3", [32])),
        ("p.weight_packed", ("U8", [8, 33])),
        ("p.weight_packed", ("U8", [2, 4, 32])),
        ("p.weight_packed", ("U8", [])),
        ("p.weight_global_scale", ("F32", [8])),
        ("p.weight_global_scale", ("BF16", [1])),
        ("p.input_global_scale", ("F32", [2])),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    make_checkpoint: Any, name: str, changed: tuple[str, list[int]]
) -> None:
    with pytest.raises(CheckpointError, match=r"^p\."):
        linear_kind(make_checkpoint({**CT_TENSORS, name: changed}), "p")


def test_a_module_that_is_not_there_is_named(make_checkpoint: Any) -> None:
    with pytest.raises(CheckpointError, match=r"has no tensor q\.weight"):
        linear_kind(make_checkpoint(CT_TENSORS), "q")


def test_a_format_nobody_knows_shows_its_tensors(make_checkpoint: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=r"does not know \(p\.codes I16\)"):
        linear_kind(make_checkpoint({"p.codes": ("I16", [4])}), "p")


def ct_group(inputs: object, **weights: object) -> dict[str, object]:
    return {
        "weights": {"num_bits": 4, "type": "float", "group_size": 16, **weights},
        "input_activations": inputs,
    }


FP4_INPUTS = {"num_bits": 4, "type": "float", "group_size": 16, "dynamic": "local"}
FP8_INPUTS = {"num_bits": 8, "type": "float", "dynamic": True}


@pytest.mark.parametrize(
    ("groups", "input_scale", "expected"),
    [
        ([ct_group(None)], False, "none"),
        ([ct_group(None)], True, "none"),
        ([{"weights": ct_group(None)["weights"]}], True, "none"),
        ([ct_group(FP4_INPUTS)], True, "nvfp4"),
        ([ct_group(FP4_INPUTS)], False, "nvfp4"),
        ([ct_group(FP4_INPUTS), ct_group(None)], True, "nvfp4"),
        ([ct_group(FP4_INPUTS), ct_group(None)], False, "none"),
        ([ct_group(FP8_INPUTS, num_bits=8), ct_group(None)], True, "none"),
        ([], True, "nvfp4"),
        ([], False, "none"),
    ],
)
def test_activations_of_compressed_tensors(
    make_checkpoint: Any, groups: list[object], input_scale: bool, expected: str
) -> None:
    config = {"config_groups": {f"group_{i}": group for i, group in enumerate(groups)}}
    extra: Tensors = {"p.input_global_scale": ("F32", [1])} if input_scale else {}
    kind = linear_kind(make_checkpoint(CT_TENSORS | extra, config), "p")
    assert isinstance(kind, NVFP4)
    assert kind.activations == expected


@pytest.mark.parametrize(
    ("config", "input_scale", "expected"),
    [
        ({"quant_algo": "NVFP4"}, True, "nvfp4"),
        ({"quant_algo": "NVFP4"}, False, "nvfp4"),
        ({"quant_algo": "NVFP4", "config_groups": {"g": ct_group(None)}}, True, "none"),
        ({"quant_algo": "W4A16_NVFP4"}, True, "none"),
        ({"quant_algo": "w4a16_nvfp4"}, True, "none"),
        ({"quant_algo": "NVFP4_AWQ"}, True, "nvfp4"),
        ({"quantized_layers": {"p": {"quant_algo": "W4A16_NVFP4"}}}, True, "none"),
        ({"quantized_layers": {"p": {"quant_algo": "NVFP4"}}}, False, "nvfp4"),
        ({"quantized_layers": {"q": {"quant_algo": "NVFP4"}}}, False, "none"),
        (None, True, "nvfp4"),
        (None, False, "none"),
    ],
)
def test_activations_of_modelopt(
    make_checkpoint: Any, config: dict[str, Any] | None, input_scale: bool, expected: str
) -> None:
    extra: Tensors = {"p.input_scale": ("F32", [])} if input_scale else {}
    kind = linear_kind(make_checkpoint(MO_TENSORS | extra, config), "p")
    assert isinstance(kind, NVFP4)
    assert kind.activations == expected


def test_an_entry_for_a_container_covers_its_leaves(make_checkpoint: Any) -> None:
    name = "model.layers.0.mlp.experts.3.up_proj"
    tensors = {name + key.removeprefix("p"): value for key, value in MO_TENSORS.items()}
    tensors[f"{name}.input_scale"] = ("F32", [])
    layers = {"model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4"}}
    config = {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    assert linear_kind(make_checkpoint(tensors, config), name) == MO_16


def test_fp8_activations_and_online_transforms_are_refused(make_checkpoint: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="8-bit activations"):
        linear_kind(
            make_checkpoint(CT_TENSORS, {"config_groups": {"g": ct_group(FP8_INPUTS)}}), "p"
        )
    with pytest.raises(UnsupportedModelError, match="Hadamard"):
        linear_kind(make_checkpoint(CT_TENSORS, {"transform_config": {"R1": {}}}), "p")


def test_two_formats_side_by_side_are_mixed(make_checkpoint: Any) -> None:
    fp8: Tensors = {"q.weight": ("F8_E4M3", [8, 8]), "q.weight_scale": ("F32", [])}
    dense: Tensors = {"r.weight": ("BF16", [8, 8])}
    assert format_name(make_checkpoint(MO_TENSORS | fp8 | dense)) == "mixed"
    assert format_name(make_checkpoint(MO_TENSORS | dense)) == "NVFP4 W4A16"
