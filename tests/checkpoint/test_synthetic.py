"""Synthetic checkpoints: shapes as published, values that a model can compute with."""

import math
from collections.abc import Mapping

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import download, find, locate, resolve
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import FP8, NVFP4, linear_kind, linear_shape, module_names
from localfp4.checkpoint.open_reader import open_outline_reader, open_reader
from localfp4.checkpoint.parameters import is_beside, parameter_count
from localfp4.checkpoint.read_linear import read_linear
from localfp4.checkpoint.synthetic.catalogue import CATALOGUE
from localfp4.checkpoint.synthetic.model import (
    SyntheticCheckpoint,
    SyntheticModel,
    synthetic_checkpoint,
    synthetic_model,
)
from localfp4.checkpoint.synthetic.reader import SyntheticReader
from localfp4.checkpoint.tensors import Mxfp4Tensors
from localfp4.checkpoint.text_part import text_part
from localfp4.errors import CheckpointError, ModelNotFoundError
from localfp4.models.expand import expand
from localfp4.models.families import renames

# What their publishers round to 8.19, 14.8, 27, 30.5, 20.9 and 8.03 billion; of Gemma 3 the language
# model. Those of Qwen3.6 and Gemma 4 are published together with towers for images.
PARAMETERS = {
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "gemma3-27b": 27_009_346_304,
    "qwen3-30b-a3b": 30_532_122_624,
    "gpt-oss-20b": 20_914_757_184,
    "llama3.1-8b": 8_030_261_248,
}
FORMATS = {
    "qwen3-8b": "NVFP4 W4A4",
    "qwen3-14b": "NVFP4 W4A4",
    "gemma3-27b": "NVFP4 W4A4",
    "qwen3-30b-a3b": "NVFP4 W4A4",
    "qwen3.6-27b": "NVFP4 W4A16, FP8 per tensor",
    "qwen3.6-35b-a3b": "NVFP4 W4A16, FP8 per tensor",
    "gemma4-26b-a4b": "NVFP4 W4A4",
    "gpt-oss-20b": "MXFP4 W4A16",
    "llama3.1-8b": "NVFP4 W4A4",
}


def made(text: str) -> SyntheticCheckpoint:
    return synthetic_checkpoint(synthetic_model(text))


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_models_have_as_many_parameters_as_published(name: str, count: int) -> None:
    assert parameter_count(made(name)) == count


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_names_and_shapes_are_those_of_transformers(name: str) -> None:
    """Six layers hold every type of layer; experts, which it stacks, are compared by their size."""
    checkpoint = made(f"{name}:6")
    config = {k: v for k, v in checkpoint.config.items() if k != "quantization_config"}
    text = config.get("text_config", config)
    with torch.device("meta"):
        build = AutoModelForCausalLM.from_config
        model = build(CONFIG_MAPPING[text["model_type"]](**text))  # type: ignore[no-untyped-call]
    expected = {n: tuple(p.shape) for n, p in model.state_dict().items()}
    if text.get("tie_word_embeddings", config["tie_word_embeddings"]):
        expected.pop("lm_head.weight", None)
    found = {
        n: s
        for n, s in logical_shapes(text_part(checkpoint).checkpoint).items()
        if not n.startswith("mtp.")
    }
    assert without_experts(found) == without_experts(expected)
    assert numbers(found) == numbers(expected)


def logical_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Return the shapes that parameters have before anything is packed."""
    shapes = {}
    for prefix in module_names(checkpoint):
        if (
            prefix + ".weight" in checkpoint.tensors
            or prefix + ".weight_packed" in checkpoint.tensors
        ):
            kind = linear_kind(checkpoint, prefix)
            shapes[prefix + ".weight"] = linear_shape(checkpoint, prefix, kind)
    for name, info in checkpoint.tensors.items():
        if name.endswith("_blocks"):
            experts, rows, groups, _ = info.shape
            shapes[name.removesuffix("_blocks")] = (experts, rows, 32 * groups)
        elif not is_beside(name) and info.dtype == "BF16":
            shapes.setdefault(name, info.shape)
    return shapes


def without_experts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {n: s for n, s in shapes.items() if ".experts." not in n}


def numbers(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_formats_are_recognised(name: str) -> None:
    checkpoint = made(f"{name}:4")
    part = text_part(checkpoint, renames(dict(checkpoint.config)))
    assert format_name(part.checkpoint) == FORMATS[name]
    assert part.left_out == ()


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_plain_form_has_the_same_shapes_in_16_bits(name: str) -> None:
    published, plain = (
        text_part(checkpoint, renames(dict(checkpoint.config))).checkpoint
        for checkpoint in (made(f"{name}:4"), made(f"{name}:4@bf16"))
    )
    assert format_name(plain) == "BF16"
    assert plain.quant_config is None
    assert "quantization_config" not in plain.config
    assert {info.dtype for info in plain.tensors.values()} == {"BF16"}
    assert parameter_count(plain) == parameter_count(published)
    assert plain.total_bytes == 2 * parameter_count(plain) > published.total_bytes


@pytest.mark.parametrize(("name", "modules"), [("qwen3.6-27b", 401), ("qwen3.6-35b-a3b", 291)])
def test_mixed_precision_is_told_as_nvidia_tells_it(name: str, modules: int) -> None:
    """Their ``hf_quant_config.json`` lists as many modules, experts of a layer as one."""
    config = made(name).quant_config or {}
    listed = config["quantized_layers"]
    assert len(listed) == modules
    assert listed["lm_head"]["quant_algo"] == "W4A16_NVFP4"
    attention = "model.language_model.layers.3.self_attn.q_proj"
    assert listed[attention]["quant_algo"] == "FP8"
    assert not any(name.startswith("mtp.") for name in listed)


def test_layers_that_are_cut_keep_the_pattern_of_the_family() -> None:
    config = made("qwen3.6-27b:5").config["text_config"]
    assert config["num_hidden_layers"] == 5
    assert config["layer_types"] == ["linear_attention"] * 3 + [
        "full_attention",
        "linear_attention",
    ]
    assert not any(".layers.5." in name for name in made("qwen3.6-27b:5").tensors)


@pytest.mark.parametrize(
    ("model", "prefix", "kind"),
    [
        ("qwen3-8b:1", "model.layers.0.mlp.up_proj", NVFP4),
        ("gemma3-27b:1", "model.language_model.layers.0.self_attn.k_proj", NVFP4),
        ("qwen3.6-35b-a3b:1", "model.language_model.layers.0.mlp.experts.7.down_proj", NVFP4),
        ("qwen3.6-35b-a3b:1", "model.language_model.layers.0.linear_attn.in_proj_z", FP8),
    ],
)
def test_weights_are_about_as_large_as_in_a_fresh_model(
    model: str, prefix: str, kind: type
) -> None:
    checkpoint = made(model)
    found = linear_kind(checkpoint, prefix)
    assert isinstance(found, kind)
    with open_reader(checkpoint, torch.device("cpu")) as reader:
        weight = expand(read_linear(reader, prefix, found))
    assert weight.square().mean().sqrt().item() == pytest.approx(0.02, rel=0.05)
    assert abs(weight.mean().item()) < 1e-3
    assert torch.unique(weight, dim=0).shape == weight.shape


def test_other_types_are_about_as_large() -> None:
    checkpoint = made("gpt-oss-20b:1")
    experts = "model.layers.0.mlp.experts.down_proj"
    with SyntheticReader(checkpoint) as reader:
        packed = reader.read(f"{experts}_blocks")[0].flatten(-2)
        scale = reader.read(f"{experts}_scales")[0]
        router = reader.read("model.layers.0.mlp.router.weight").float()
        norm = reader.read("model.norm.weight").float()
    weight = expand(Mxfp4Tensors(packed, scale))
    assert weight.shape == (2880, 2880)
    assert 0.005 < weight.square().mean().sqrt().item() < 0.02
    assert router.square().mean().sqrt().item() == pytest.approx(0.02, rel=0.1)
    assert ((norm >= 1) & (norm < 1.03)).all()
    assert norm.unique().numel() > 1


def test_norms_that_add_one_are_near_zero() -> None:
    checkpoint = made("qwen3.6-27b:1")
    with SyntheticReader(checkpoint) as reader:
        layer = "model.language_model.layers.0"
        added = reader.read(f"{layer}.input_layernorm.weight").float()
        gated = reader.read(f"{layer}.linear_attn.norm.weight").float()
    assert added.abs().max() < 0.04
    assert gated.min() >= 1


def test_a_large_matrix_has_no_two_equal_rows() -> None:
    """It is made from fewer random words than it has."""
    checkpoint = made("qwen3-8b:1")
    with SyntheticReader(checkpoint) as reader:
        weight = reader.read("model.layers.0.mlp.up_proj.weight")
        scale = reader.read("lm_head.weight")[:20000, :64]
    assert weight.numel() > 8 * 1_048_573
    assert torch.unique(weight, dim=0).shape == weight.shape
    assert torch.unique(scale.float(), dim=0).shape == scale.shape


def test_values_depend_on_the_tensor_alone() -> None:
    checkpoint = made("qwen3-8b:2")
    names = [f"model.layers.{n}.self_attn.k_proj.weight" for n in (0, 1)]
    with SyntheticReader(checkpoint) as one, SyntheticReader(checkpoint) as other:
        first, second = (one.read(name) for name in names)
        again = [other.read(name) for name in reversed(names)]
        assert torch.equal(first, again[1])
        assert torch.equal(second, again[0])
        assert not torch.equal(first, second)
        assert one.bytes_read == first.nbytes + second.nbytes
        with pytest.raises(CheckpointError, match=r"has no tensor model\.nothing"):
            one.read("model.nothing")


def test_an_outline_has_shapes_and_the_values_that_decide() -> None:
    checkpoint = made("qwen3-8b:1")
    prefix = "model.layers.0.mlp.down_proj"
    with open_outline_reader(checkpoint) as outline, SyntheticReader(checkpoint) as reader:
        assert outline.read(f"{prefix}.weight").is_meta
        scale = outline.values(f"{prefix}.weight_scale_2")
        assert scale.item() == reader.values(f"{prefix}.weight_scale_2").item() > 0


def test_the_hub_knows_them_without_asking_anybody() -> None:
    cut = SyntheticModel("qwen3-8b", 2)
    assert locate("synthetic:qwen3-8b:2") == find(str(cut)) == resolve(str(cut)) == cut
    assert locate("synthetic:gpt-oss-20b") == SyntheticModel("gpt-oss-20b")
    for plain in (
        SyntheticModel("qwen3-8b", 2, plain=True),
        SyntheticModel("qwen3-8b", plain=True),
    ):
        assert locate(str(plain)) == plain
    assert str(SyntheticModel("qwen3-8b", 2, plain=True)) == "synthetic:qwen3-8b:2@bf16"
    assert list(download(str(cut))) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("qwen3-7b", "Did you mean qwen3-8b?"),
        ("QWEN3.6-27B", r"Did you mean qwen3\.6-27b\?"),
        ("zebra", "There is no synthetic model 'zebra', only qwen3-8b, qwen3-14b"),
        ("", "There is no synthetic model ''"),
        ("\x1b[2J", "There is no synthetic model"),
        ("qwen3-8b:0", "has 36 layers, so that '0' of them cannot be had"),
        ("qwen3-8b:37", "has 36 layers"),
        ("qwen3-8b:-1", "has 36 layers"),
        ("qwen3-8b:", "has 36 layers"),
        ("qwen3-8b:two", "has 36 layers"),
        ("qwen3-8b:2:3", "has 36 layers"),
        ("qwen3-8b:" + "9" * 5000, "has 36 layers"),
        ("qwen3-8b:²", "has 36 layers"),
        ("qwen3-8b:37@bf16", "has 36 layers"),
        ("qwen3-7b@bf16", "Did you mean qwen3-8b?"),
        ("qwen3-8b@fp8", r"or as qwen3-8b@bf16 with nothing quantised; there is no '@fp8'\."),
        ("qwen3-8b:2@", r"there is no '@'\."),
        ("qwen3-8b@bf16:2", r"there is no '@bf16:2'\."),
        ("qwen3-8b@\x1b[2J", r"there is no '@"),
    ],
)
def test_names_that_mean_nothing_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ModelNotFoundError, match=sentence) as error:
        locate(f"synthetic:{text}")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400
