"""Sizes from headers against tensors in memory, and against outlines of what kernels keep."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.hub import find
from localfp4.errors import UnsupportedModelError
from localfp4.models.decoder import Decoder
from localfp4.models.header_sizes import expanded_sizes, kernel_sizes
from localfp4.models.load import load_decoder
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.size import weight_bytes, weight_sizes
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes
from tests.models.outlined import outlined_sizes


def loaded(model: OpenedModel, dtype: str) -> Decoder:
    steps = load_decoder(model.checkpoint, model.spec, getattr(torch, dtype), torch.device("cpu"))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            decoder: Decoder = end.value
            return decoder


@pytest.mark.parametrize("name", ["m_qwen3", "m_qwen3_moe", "m_gpt_oss", "ct_qwen3_NVFP4A16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_expanded_weights(fixtures: Path, name: str, dtype: str) -> None:
    model = open_model(fixtures / name)
    tied = shares_embedding(model.checkpoint)
    decoder = loaded(model, dtype)
    planned = expanded_sizes(model.checkpoint, model.spec, dtype, tied=tied)
    taken = weight_bytes(decoder)
    # Layouts for products may be padded, and the frequencies of rotations are not weights. A tied
    # output projection of 16 bits is only laid out anew where the CPU multiplies them.
    copied = decoder.embedding.nbytes if tied and dtype == "bfloat16" else 0
    assert planned.total - copied <= taken * 1.02
    assert taken <= planned.total * 1.1 + 4096


def both(model: OpenedModel) -> tuple[WeightSizes, WeightSizes]:
    spec = replace(model.spec, mtp=())
    tied = shares_embedding(model.checkpoint)
    near = kernel_sizes(model.checkpoint, spec, "bfloat16", tied=tied)
    return near, outlined_sizes(model.checkpoint, spec, "bfloat16", 89, "auto")


@pytest.mark.parametrize("name", ["qwen3-8b:2", "qwen3-30b-a3b:1", "gemma4-26b-a4b:6"])
def test_headers_tell_what_kernels_keep(name: str) -> None:
    near, exact = both(open_model(find(f"synthetic:{name}")))
    assert near.total == pytest.approx(exact.total, rel=0.001)
    assert near.looked_up == exact.looked_up
    assert near.expert_count == exact.expert_count
    for some, others in ((near.layers, exact.layers), (near.experts, exact.experts)):
        assert some == pytest.approx(others, rel=0.002)


@pytest.mark.parametrize(
    "name",
    [
        *("awq", "ct_FP8_BLOCK", "ct_MXFP8", "ct_W4A16_CHANNEL", "ct_qwen3_MIX", "mo_MXFP4"),
        *("ct_gpt_oss_NVFP4A16", "mo_gpt_oss_MXFP4", "mo_gpt_oss_NVFP4", "mo_NVFP4_SVD"),
    ],
)
def test_headers_of_every_format_do(fixtures: Path, name: str) -> None:
    model = open_model(fixtures / name)
    near, exact = both(model)
    # Of matrices this small, norms, factors and frequencies of rotations are a percent.
    assert near.total <= exact.total <= near.total * 1.012
    if "MXFP8" in name or name == "mo_gpt_oss_MXFP4":  # which kernels do not read, and expand
        assert near.total > 1.6 * model.checkpoint.total_bytes


def test_a_format_that_cannot_run_is_refused_by_its_headers(fixtures: Path) -> None:
    model = open_model(fixtures / "m_qwen3")
    name = "model.layers.0.self_attn.q_proj"
    weight = replace(model.checkpoint.tensors[f"{name}.weight"], dtype="I8")
    tensors = {**model.checkpoint.tensors, f"{name}.weight": weight}
    with pytest.raises(UnsupportedModelError, match="q_proj is stored as INT8"):
        kernel_sizes(replace(model.checkpoint, tensors=tensors), model.spec, "bfloat16", tied=False)


def test_parts_add_up_and_drafting_heads_count_where_they_are_used() -> None:
    model = open_model(find("synthetic:qwen3.6-35b-a3b:4"))
    with_heads, without = (
        outlined_sizes(model.checkpoint, spec, "bfloat16", 89, "auto")
        for spec in (model.spec, replace(model.spec, mtp=()))
    )
    assert without.drafting == 0
    assert with_heads.drafting > 0
    assert with_heads.total == without.total + with_heads.drafting
    assert len(without.layers) == len(without.experts) == 4
    assert all(
        experts > layer for layer, experts in zip(without.layers, without.experts, strict=True)
    )


def test_the_sum_is_what_the_decoder_takes(fixtures: Path) -> None:
    model = open_model(fixtures / "m_qwen3_moe")
    decoder = loaded(model, "float32")
    sizes = weight_sizes(decoder)
    assert sizes.total == decoder.nbytes
    assert sum(sizes.experts) > 0
