"""The language model of a checkpoint under one set of names, whatever it is wrapped in."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.parameters import is_beside, parameter_count
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.text_part import TextPart, text_part
from localfp4.errors import CheckpointError

FILE = Path("model.safetensors")
USUAL = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.11.mlp.experts.gate_up_proj",
    "model.norm.weight",
    "lm_head.weight",
)


def checkpoint(names: Iterable[str]) -> Checkpoint:
    tensors = {name: TensorInfo(name, "BF16", (2, 3), 0, 12, FILE) for name in names}
    return Checkpoint(Path("model"), {}, {}, None, tensors)


def kept(part: TextPart) -> set[str]:
    return set(part.checkpoint.tensors)


def wrapped(model: str, head: str = "") -> list[str]:
    """Return the usual names with another beginning."""
    return [
        head + name if name.startswith("lm_head") else model + name.removeprefix("model.")
        for name in USUAL
    ]


@pytest.mark.parametrize(
    "names",
    [
        wrapped("model."),
        wrapped("model.language_model."),
        wrapped("model.language_model.", "model.language_model."),
        wrapped("language_model.model.", "language_model."),
        wrapped("language_model.model."),
    ],
    ids=["plain", "new", "new with its head", "old", "old without its head"],
)
def test_wrappers_are_taken_off(names: list[str]) -> None:
    part = text_part(checkpoint(names))
    assert kept(part) == set(USUAL)
    assert part.left_out == ()
    assert {info.name for info in part.checkpoint.tensors.values()} == set(names)


@pytest.mark.parametrize(
    ("name", "sense"),
    [
        ("visual.blocks.0.attn.qkv.weight", "visual"),
        ("model.visual.merger.mlp.0.weight", "visual"),
        ("model.vision_tower.encoder.layers.0.mlp.fc1.weight", "vision_tower"),
        ("vision_tower.transformer.layers.0.attention.q_proj.weight", "vision_tower"),
        ("vision_model.radio_model.model.norm.weight", "vision_model"),
        ("multi_modal_projector.linear_1.weight", "multi_modal_projector"),
        ("model.multi_modal_projector.mm_soft_emb_norm.weight", "multi_modal_projector"),
        ("model.embed_vision.embedding_projection.weight", "embed_vision"),
        ("model.audio_tower.conformer.0.weight", "audio_tower"),
        ("model.embed_audio.embedding_projection.weight", "embed_audio"),
        ("patch_merger.merging_layer.weight", "patch_merger"),
        ("mlp1.0.weight", "mlp1"),
        ("sound_encoder.layers.0.weight", "sound_encoder"),
    ],
)
def test_other_senses_are_left_out_and_named(name: str, sense: str) -> None:
    part = text_part(checkpoint([*USUAL, name]))
    assert kept(part) == set(USUAL)
    assert part.left_out == (sense,)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mlp.experts.audio.weight",
        "model.layers.0.vision_gate.weight",
        "mtp.layers.0.self_attn.q_proj.weight",
        "mtp.fc.weight",
        "model.layers.47.eh_proj.weight",
        "model.layers.0.mlp.mlp1.weight",
    ],
)
def test_nothing_of_a_language_model_is_mistaken_for_another_sense(name: str) -> None:
    part = text_part(checkpoint([*USUAL, name]))
    assert kept(part) == {*USUAL, name}
    assert part.left_out == ()


def test_a_family_renames_after_wrappers_are_off_and_in_order() -> None:
    renames = ((r"^model\.embeddings\.", "model.embed_tokens."), (r"\.mixer\.", ".self_attn."))
    names = ["language_model.model.embeddings.weight", "model.layers.0.mixer.mixer.weight"]
    part = text_part(checkpoint(names), renames)
    assert kept(part) == {"model.embed_tokens.weight", "model.layers.0.self_attn.mixer.weight"}


def test_one_weight_under_two_names_is_refused() -> None:
    names = ["model.norm.weight", "model.language_model.norm.weight"]
    with pytest.raises(CheckpointError, match=r"both model\.norm\.weight and model\.language_mod"):
        text_part(checkpoint(names))


@pytest.mark.parametrize(
    ("plain", "quantised"),
    [
        ("m_qwen3", ("ct_qwen3_MIX", "ct_qwen3_MXFP4", "ct_qwen3_NVFP4A16", "mo_qwen3_MIXED")),
        ("m_qwen3", ("mo_qwen3_NVFP4_DEFAULT_CFG", "mo_qwen3_W4A16_NVFP4_CFG")),
        ("m_qwen3_160", ("awq", "gptq", "ct_W4A16", "ct_W4A16_ASYM", "ct_W4A16_CHANNEL")),
        ("m_qwen3_160", ("ct_FP8_BLOCK", "ct_MXFP8", "mo_FP8_PB_WO", "mo_MXFP4", "mo_MXFP8")),
        ("m_qwen3_160", ("mo_NVFP4_AWQ", "mo_NVFP4_SVD", "torchao_NVFP4")),
        ("m_qwen3_160", ("mo_W4A8_MXFP4_FP8", "mo_W4A8_NVFP4_FP8")),
        ("m_qwen3_moe", ("ct_qwen3_moe_NVFP4", "mo_qwen3_moe_NVFP4_DEFAULT_CFG")),
        ("m_gpt_oss", ("ct_gpt_oss_NVFP4A16", "mo_gpt_oss_MXFP4", "mo_gpt_oss_NVFP4")),
    ],
)
def test_packed_weights_count_as_what_they_stand_for(
    fixtures: Path, plain: str, quantised: tuple[str, ...]
) -> None:
    expected = parameter_count(open_checkpoint(fixtures / plain))
    for name in quantised:
        assert parameter_count(open_checkpoint(fixtures / name)) == expected, name


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("model.layers.0.mlp.up_proj.weight_scale", True),
        ("model.layers.0.mlp.up_proj.weight_scale_2", True),
        ("model.layers.0.mlp.experts.down_proj_scales", True),
        ("model.layers.0.self_attn.k_scale", True),
        ("model.layers.0.mlp.up_proj.weight", False),
        ("model.layers.0.layer_scalar", False),
        ("model.layers.0.moe.gate.scale", False),
        ("model.layers.0.moe.gate.per_expert_scale", False),
    ],
)
def test_learned_scales_are_parameters(name: str, beside: bool) -> None:
    assert is_beside(name) is beside
