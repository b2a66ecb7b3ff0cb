"""Rounding to nearest while loading: against exporters' own files and compressed-tensors."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import quantize
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import find
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import FP8, INT4, MXFP4, NVFP4, Dense, linear_kind, module_names
from localfp4.checkpoint.open_reader import open_outline_reader, open_reader
from localfp4.checkpoint.read_linear import read_linear
from localfp4.checkpoint.reader import TORCH_DTYPES, TensorReader
from localfp4.checkpoint.rounded import quantise as quantisers
from localfp4.checkpoint.rounded.checkpoint import RoundedCheckpoint, RoundedTensor
from localfp4.checkpoint.rounded.forms import FORMS
from localfp4.checkpoint.rounded.quantise import quantise
from localfp4.config import ROUNDINGS
from localfp4.errors import CheckpointError, UnsupportedModelError
from localfp4.models.expand import expand
from localfp4.models.opened import open_model
from tests.models import tiny
from tests.models.live_bytes import LiveBytes

CPU = torch.device("cpu")
LAYER = "model.layers.0"


def rounded(model: Path | str, rounding: str) -> RoundedCheckpoint:
    checkpoint = open_model(find(str(model)), rounding).checkpoint
    assert isinstance(checkpoint, RoundedCheckpoint)
    return checkpoint


def made(checkpoint: Checkpoint) -> Iterator[tuple[str, torch.Tensor]]:
    """Read everything that is rounded."""
    with open_reader(checkpoint, CPU) as reader:
        for name, info in checkpoint.tensors.items():
            if isinstance(info, RoundedTensor):
                yield name, reader.read(name)


def random_weight(rows: int, columns: int) -> torch.Tensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    weight[0] = weight[0].abs() + 1  # no zero between its least and its largest
    weight[1] = 0
    weight[2] *= 1e-6
    return weight


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def test_mxfp4_is_what_llm_compressor_exported_bit_for_bit(fixtures: Path) -> None:
    exported = load_file(fixtures / "ct_qwen3_MXFP4" / "model.safetensors")
    found = dict(made(rounded(fixtures / "m_qwen3", "mxfp4")))
    packed = {name for name in exported if name.endswith(("weight_packed", "weight_scale"))}
    assert found.keys() == packed
    assert all(torch.equal(found[name], exported[name]) for name in packed)


def test_nvfp4_is_what_modelopt_exported_bit_for_bit(fixtures: Path) -> None:
    """It has query, key and value share the largest scale, and gate and up."""
    exported = load_file(fixtures / "mo_qwen3_W4A16_NVFP4_CFG" / "model.safetensors")
    found = dict(made(rounded(fixtures / "m_qwen3", "nvfp4")))
    assert found.keys() == {n for n in exported if n in found or "weight_scale" in n}
    alike = [
        name.removesuffix("_scale_2")
        for name in found
        if name.endswith("_scale_2") and torch.equal(found[name], exported[name])
    ]
    assert {name.split(".")[-2] for name in alike} == {"k_proj", "o_proj", "gate_proj", "down_proj"}
    for name in alike:
        assert torch.equal(found[name], exported[name])
        assert torch.equal(bits(found[f"{name}_scale"]), bits(exported[f"{name}_scale"]))


def test_fp8_has_the_values_of_compressed_tensors() -> None:
    weight = random_weight(40, 48)
    weight[1, 0] = 1.0  # the library divides rows of zeros by epsilon instead of one
    arguments = QuantizationArgs(num_bits=8, type="float", strategy="channel", symmetric=True)
    low, high = weight.aminmax(dim=1, keepdim=True)
    scale, zero = calculate_qparams(low, high, arguments)
    theirs = quantize(weight, scale, zero, arguments, dtype=torch.float8_e4m3fn)
    found = quantise(weight, "fp8")
    assert torch.equal(found[".weight_scale"], scale)
    assert torch.equal(bits(found[".weight"]), bits(theirs))


def test_int4_has_the_values_of_compressed_tensors() -> None:
    weight = random_weight(20, 256)
    weight[1] = 0.5
    arguments = QuantizationArgs(
        num_bits=4, type="int", strategy="group", group_size=128, symmetric=False
    )
    groups = weight.unflatten(1, (-1, 128))
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
    scale = scale.bfloat16().float()
    codes = quantize(weight, scale, zero, arguments, dtype=torch.int8)
    tensors = quantise(weight, "int4")
    assert torch.equal(tensors[".weight_scale"].float(), scale)
    words = tensors[".weight_packed"].long().unsqueeze(-1) >> 4 * torch.arange(8)
    assert torch.equal((words & 15).flatten(1), codes.long() + 8)
    of_rows = tensors[".weight_zero_point"].long().unsqueeze(1) >> 4 * torch.arange(8)[:, None]
    assert torch.equal((of_rows & 15).flatten(0, 1)[:20], zero.long() + 8)
    assert zero[0].unique().tolist() == [-8], "a row above zero has its zero at the first code"


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rows_are_rounded_a_few_at_a_time_to_the_same(
    monkeypatch: pytest.MonkeyPatch, rounding: str
) -> None:
    weight = random_weight(37, 256).to(torch.bfloat16)
    whole = quantise(weight, rounding)
    monkeypatch.setattr(quantisers, "_PIECE", 2048)
    by_rows = quantise(weight, rounding)
    # As experts lie whose columns come first, and rows of two parts alternate.
    pairs = torch.stack((weight, -weight), 1).flatten(0, 1)
    strided = quantise(pairs.T.contiguous().T[::2], rounding)
    listed = FORMS[rounding].parts(37, 256)
    assert [suffix for suffix, _, _ in listed] == [*whole]
    for suffix, dtype, shape in listed:
        assert (whole[suffix].dtype, whole[suffix].shape) == (TORCH_DTYPES[dtype], shape)
        for other in (by_rows, strided):
            assert torch.equal(bits(whole[suffix]), bits(other[suffix]))


@pytest.mark.parametrize(
    ("rounding", "error"), [("nvfp4", 0.1), ("mxfp4", 0.13), ("fp8", 0.03), ("int4", 0.12)]
)
def test_the_loaded_matrix_is_near_the_one_that_was_stored(
    fixtures: Path, tmp_path: Path, rounding: str, error: float
) -> None:
    tensors = tiny.stored(fixtures / "m_qwen3")
    name = f"{LAYER}.mlp.down_proj"
    weight = random_weight(*tensors[f"{name}.weight"].shape).to(torch.bfloat16)
    folder = tiny.restored(
        fixtures / "m_qwen3", tmp_path / "m", tensors | {f"{name}.weight": weight}
    )
    checkpoint = rounded(folder, rounding)
    with open_reader(checkpoint, CPU) as reader:
        loaded = expand(read_linear(reader, name, linear_kind(checkpoint, name)))
    exact = weight.float()
    assert (loaded - exact).norm() / exact.norm() < error
    assert not loaded[1].any()
    assert not torch.equal(loaded, exact)


KINDS = {"nvfp4": NVFP4, "mxfp4": MXFP4, "fp8": FP8, "int4": INT4}


@pytest.mark.parametrize(
    ("name", "rounding"),
    [
        ("qwen3-8b:1", "nvfp4"),
        ("gemma3-27b:1", "mxfp4"),
        ("qwen3-30b-a3b:1", "int4"),
        ("qwen3.6-27b:4", "fp8"),
        ("qwen3.6-35b-a3b:1", "nvfp4"),
    ],
)
def test_what_is_rounded_is_what_publishers_quantise(name: str, rounding: str) -> None:
    """Their files and ours of the same model, but for the output projection, which some quantise."""
    theirs = open_model(find(f"synthetic:{name}")).checkpoint
    ours = rounded(f"synthetic:{name}@bf16", rounding)
    quantised = {
        prefix
        for prefix in module_names(theirs) - {"lm_head"}
        if not isinstance(linear_kind(theirs, prefix), Dense)
    }
    kinds = {prefix: linear_kind(ours, prefix) for prefix in module_names(ours)}
    assert {p for p, kind in kinds.items() if not isinstance(kind, Dense)} == quantised
    assert {type(kinds[prefix]) for prefix in quantised} == {KINDS[rounding]}


def test_experts_in_one_tensor_are_taken_apart(fixtures: Path) -> None:
    folder = fixtures / "m_gpt_oss"
    tensors = load_file(folder / "model.safetensors")
    stack, biases = (
        tensors[f"{LAYER}.mlp.experts.gate_up_proj{suffix}"] for suffix in ("", "_bias")
    )
    found = dict(made(rounded(folder, "fp8")))
    assert not any(name.endswith("gate_up_proj") for name in found)
    for expert in range(len(stack)):
        for place, part in enumerate(("gate", "up")):
            name = f"{LAYER}.mlp.experts.{expert}.{part}_proj"
            matrix = stack[expert, :, place::2].T
            alone = quantise(matrix, "fp8")[".weight"]
            assert torch.equal(bits(found[f"{name}.weight"]), bits(alone))
            assert torch.equal(found[f"{name}.bias"], biases[expert, place::2])


@pytest.mark.parametrize("model", ["m_qwen3_moe", "m_gpt_oss"])
def test_each_tensor_is_read_once_and_one_piece_is_in_memory(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(quantisers, "_PIECE", 256)
    checkpoint = rounded(fixtures / model, "nvfp4")
    largest = max(info.nbytes for info in checkpoint.source.tensors.values())
    names = iter(checkpoint.tensors)
    with open_reader(checkpoint, CPU) as reader, LiveBytes([]) as live:
        for name in names:
            reader.read(name)
        assert reader.bytes_read == checkpoint.total_bytes
    with TensorReader(open_model(fixtures / model).checkpoint) as plain:
        assert checkpoint.total_bytes == plain.checkpoint.total_bytes
    # Embeddings are the largest; what is rounded beside it is at most half of that.
    assert live.peak < 2 * largest < checkpoint.total_bytes


def test_a_large_matrix_takes_little_memory_beside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(2048, 512).to(torch.bfloat16)

    def peak(rounding: str) -> int:
        live = LiveBytes([])
        with live:
            quantise(weight, rounding)
        return live.peak

    monkeypatch.setattr(quantisers, "_PIECE", 2**14)
    for rounding in ROUNDINGS:
        assert peak(rounding) < 1.5 * weight.nbytes
    monkeypatch.setattr(quantisers, "_PIECE", 2**22)
    assert peak("nvfp4") > 4 * weight.nbytes, "rows together, which the test would notice"


def test_the_outline_asks_for_what_is_read_and_knows_no_values(fixtures: Path) -> None:
    checkpoint = rounded(fixtures / "m_qwen3", "nvfp4")
    name = f"{LAYER}.mlp.up_proj"
    with open_outline_reader(checkpoint) as outline:
        kind = linear_kind(checkpoint, name)
        tensors = read_linear(outline, name, kind)
        asked = [*outline.names]
        norm = outline.values("model.norm.weight")
    assert not isinstance(tensors, torch.Tensor)
    assert asked == [f"{name}{s}" for s in (".weight", ".weight_scale", ".weight_scale_2")]
    assert [*checkpoint.needed(asked)] == [f"{name}.weight"]
    assert torch.equal(norm, tiny.stored(fixtures / "m_qwen3")["model.norm.weight"])


@pytest.mark.parametrize(
    ("model", "rounding", "title"),
    [
        ("m_qwen3", "nvfp4", "NVFP4 W4A16, rounded while loading"),
        ("m_qwen3_moe", "mxfp4", "MXFP4 W4A16, rounded while loading"),
        ("m_gpt_oss", "fp8", "FP8 per channel, rounded while loading"),
    ],
)
def test_formats_are_told(fixtures: Path, model: str, rounding: str, title: str) -> None:
    assert format_name(rounded(fixtures / model, rounding)) == title


def test_what_stays_as_it_is_is_said(fixtures: Path) -> None:
    whole = open_model(find("synthetic:qwen3-8b:1@bf16"), "int4")
    assert (format_name(whole.checkpoint), whole.notes) == (
        "INT4 group 128, rounded while loading",
        (),
    )
    [note] = open_model(fixtures / "m_qwen3", "int4").notes
    assert re.fullmatch(
        r"6 linears, such as \S+_proj, stay in 16 bits: int4 takes columns in multiples of 128, "
        r"and they, or experts beside them, have others\.",
        note,
    )


def test_experts_of_a_layer_stay_together() -> None:
    """Those of Gemma 4 have 704 columns in one of their products, and kernels read both alike."""
    checkpoint = rounded("synthetic:gemma4-26b-a4b:1@bf16", "int4")
    experts = {name for name in checkpoint.kept if ".experts." in name}
    assert len(experts) == 3 * 128
    assert isinstance(linear_kind(checkpoint, f"{LAYER}.self_attn.q_proj"), INT4)


@pytest.mark.parametrize(
    ("model", "rounding", "sentence"),
    [
        ("ct_qwen3_NVFP4A16", "int4", r"is stored as NVFP4 W4A16; .*: name its original\.$"),
        ("mo_gpt_oss_MXFP4", "nvfp4", r"is stored as MXFP4 W4A16; formats are made from a 16-bit"),
        (
            "m_qwen3_160",
            "int4",
            r"Nothing in .* can be rounded to int4, which takes columns in mul",
        ),
    ],
)
def test_what_cannot_be_rounded_is_one_sentence(
    fixtures: Path, model: str, rounding: str, sentence: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=sentence):
        open_model(fixtures / model, rounding)


def test_a_synthetic_model_has_its_original_at_hand() -> None:
    with pytest.raises(UnsupportedModelError, match=r": take synthetic:qwen3-8b:1@bf16\.$"):
        open_model(find("synthetic:qwen3-8b:1"), "fp8")


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("number", [torch.inf, torch.nan])
def test_a_weight_that_is_not_finite_is_named(
    fixtures: Path, tmp_path: Path, rounding: str, number: float
) -> None:
    tensors = tiny.stored(fixtures / "m_qwen3")
    name = f"{LAYER}.mlp.down_proj.weight"
    tensors[name][3, 5] = number
    checkpoint = rounded(tiny.restored(fixtures / "m_qwen3", tmp_path / "m", tensors), rounding)
    with pytest.raises(CheckpointError, match=rf"^{name} holds numbers that are not finite, so th"):
        dict(made(checkpoint))


def test_names_that_are_not_there_are_refused(fixtures: Path) -> None:
    checkpoint = rounded(fixtures / "m_qwen3", "mxfp4")
    with open_reader(checkpoint, CPU) as reader:
        for name in (f"{LAYER}.mlp.up_proj.weight", "model.nothing"):
            with pytest.raises(CheckpointError, match=f"has no tensor {name}"):
                reader.read(name)
