"""Plain torch that rounds inputs as kernels do, against the kernels (interpreted without a GPU)."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from localfp4 import LLM
from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.kinds import linear_kind, linear_shape
from localfp4.checkpoint.reader import TensorReader
from localfp4.errors import RequestError, UserError
from localfp4.models import emulated
from localfp4.models.emulated import (
    EmulatedExperts,
    EmulatedLinear,
    InputRounding,
    Narrow,
    round_activations,
)
from localfp4.models.execution import TORCH, Execution
from localfp4.models.feed_forward import Experts
from localfp4.models.kernel_choice import CARDS
from localfp4.models.linear import Linear
from localfp4.models.load_experts import load_experts
from localfp4.models.modules import modules_of
from localfp4.models.spec import MoeSpec
from localfp4.models.stored import StoredWeights
from localfp4_kernels.device import target_of
from localfp4_kernels.dispatch import Precision
from localfp4_kernels.linear.quantize_fp4 import quantize_mxfp4_rows, quantize_nvfp4_rows
from localfp4_kernels.linear.quantize_fp8 import quantize_fp8_rows
from tests.models import tiny
from tests.models.expanded import E4M3_TABLE, E8M0_TABLE, fp4_values

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_kernels = [pytest.mark.gpu] if torch.cuda.is_available() else []
pytestmark = needs_kernels

EXACT = 1e-3
"""Largest relative error of a product: kernels read 16-bit rows where nothing is narrower."""

ATTENTION, MLP = "model.layers.0.self_attn", "model.layers.0.mlp"
QKV = [f"{ATTENTION}.{part}_proj" for part in "qkv"]
GATE_UP = [f"{MLP}.gate_proj", f"{MLP}.up_proj"]
OUT, DOWN = [f"{ATTENTION}.o_proj"], [f"{MLP}.down_proj"]


def rows(width: int) -> torch.Tensor:
    """Return rows whose groups differ in magnitude, with an outlier and a row of zeros."""
    x = torch.randn(4, width, generator=torch.Generator().manual_seed(width))
    x *= 10.0 ** torch.arange(-4, 4).repeat_interleave(-(-width // 8))[:width]
    x[1, 3] = 4e4
    x[2] = 0
    return x


def fp4_by_kernel(x: torch.Tensor, narrow: Narrow, scale: torch.Tensor | None) -> torch.Tensor:
    """Decode what the kernel writes, in float64 by the definitions of the formats."""
    quantise = quantize_nvfp4_rows if narrow == "nvfp4" else quantize_mxfp4_rows
    table = E4M3_TABLE if narrow == "nvfp4" else E8M0_TABLE
    found = quantise(x.to(DEVICE), input_scale=scale, target=target_of(DEVICE))
    groups = fp4_values(found.packed.cpu()).unflatten(1, (-1, found.group))
    scaled = groups * table[found.scale.cpu().long()].unsqueeze(-1)
    values: torch.Tensor = scaled.float() * found.token_scale.cpu().view(-1, 1, 1)
    return values.flatten(1)


def fp8_by_kernel(x: torch.Tensor, *, blocks: bool) -> torch.Tensor:
    found = quantize_fp8_rows(x.to(DEVICE), blocks=blocks, target=target_of(DEVICE))
    scale = found.scale.cpu().view(len(x), -1)
    spread = scale.repeat_interleave(128 if blocks else x.shape[1], 1)[:, : x.shape[1]]
    return (E4M3_TABLE[found.data.cpu().long()] * spread.double()).float()


@pytest.mark.parametrize("calibrated", [None, 3e-3])
@pytest.mark.parametrize("narrow", ["nvfp4", "mxfp4"])
def test_four_bit_rows_are_the_kernels_bit_for_bit(
    narrow: Narrow, calibrated: float | None
) -> None:
    x = rows(160)
    scale = None if calibrated is None else torch.tensor(calibrated, device=DEVICE)
    got = round_activations(x.to(DEVICE), narrow, scale).cpu()
    assert torch.equal(got, fp4_by_kernel(x, narrow, scale))
    assert not torch.equal(got, x)


@pytest.mark.parametrize("narrow", ["fp8", "fp8-block"])
def test_eight_bit_rows_are_the_kernels_bit_for_bit(narrow: Narrow) -> None:
    x = rows(200)
    got = round_activations(x.to(DEVICE), narrow).cpu()
    assert torch.equal(got, fp8_by_kernel(x, blocks=narrow == "fp8-block"))
    assert not torch.equal(got, x)


@pytest.mark.parametrize("narrow", ["none", "fp8", "fp8-block", "nvfp4", "mxfp4"])
def test_rounding_keeps_shapes_and_types_whatever_the_pieces(
    narrow: Narrow, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(64).view(2, 2, 64).bfloat16()
    whole = round_activations(x, narrow)
    assert whole.shape == x.shape
    assert whole.dtype == torch.bfloat16
    monkeypatch.setattr(emulated, "_PIECE", 65)
    assert torch.equal(round_activations(x, narrow), whole)
    assert round_activations(x[:0], narrow).shape == (0, 2, 64)


@pytest.mark.parametrize(
    ("decodes", "wanted"),
    [
        (0, [(slice(None), "nvfp4")]),
        (2, [(slice(2), "none"), (slice(2, None), "nvfp4")]),
        (4, [(slice(None), "none")]),
    ],
)
def test_phases_round_apart(decodes: int, wanted: list[tuple[slice, str]]) -> None:
    assert [*InputRounding("none", "nvfp4").phases(rows(64), decodes)] == wanted


def linears(
    checkpoint: Checkpoint, prefixes: Sequence[str], precision: Precision
) -> tuple[Linear, Linear, Linear]:
    """Return the same linears by kernels, emulated, and expanded."""
    shapes = [linear_shape(checkpoint, p, linear_kind(checkpoint, p)) for p in prefixes]
    ways = (
        Execution(target_of(DEVICE), precision),
        Execution(precision=precision, emulated=CARDS["RTX 50"]),
        TORCH,
    )
    with TensorReader(checkpoint) as reader:
        found = [
            StoredWeights(reader, torch.float32, DEVICE, way).linear(
                prefixes, [rows for rows, _ in shapes], shapes[0][1], bias=False
            )
            for way in ways
        ]
    return found[0], found[1], found[2]


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("name", "prefixes", "precision"),
    [
        ("mo_qwen3_NVFP4_DEFAULT_CFG", QKV, "auto"),
        ("ct_qwen3_NVFP4A16", QKV, "w4a4"),
        ("ct_qwen3_NVFP4A16", QKV, "w4a8"),
        ("ct_qwen3_MXFP4", DOWN, "w4a4"),
        ("ct_qwen3_MXFP4", DOWN, "w4a8"),
        ("mo_NVFP4_AWQ", OUT, "w4a4"),
        ("mo_NVFP4_SVD", GATE_UP, "w4a4"),
        ("mo_W4A8_NVFP4_FP8", DOWN, "auto"),
        ("ct_FP8_BLOCK", DOWN, "auto"),
        ("ct_qwen3_MIX", QKV, "w4a8"),
    ],
)
def test_products_are_the_kernels(
    fixtures: Path, name: str, prefixes: list[str], precision: str
) -> None:
    """In a step of two rows that decode and three of a prompt."""
    checkpoint = open_checkpoint(fixtures / name)
    kernel, ours, plain = linears(checkpoint, prefixes, Precision(precision))
    assert any(isinstance(one, EmulatedLinear) for one in modules_of(ours))
    _, width = linear_shape(checkpoint, prefixes[0], linear_kind(checkpoint, prefixes[0]))
    x = torch.randn(5, width, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    wanted = kernel.forward(x, 2)
    assert relative(ours.forward(x, 2), wanted) < EXACT
    assert relative(plain.forward(x, 2), wanted) > 10 * EXACT


def test_rotated_inputs_are_rounded_after_the_rotation(tmp_path: Path) -> None:
    size = 64
    signs = [[(-1) ** (i & j).bit_count() for j in range(size)] for i in range(size)]
    generator = torch.Generator().manual_seed(4)
    tensors = {
        "p.qweight": torch.randint(0, 256, (64, 64), generator=generator).to(torch.uint8),
        "p.scales": torch.randint(0x28, 0x40, (64, 8), generator=generator).to(torch.uint8),
        "p.weight_global_scale": torch.tensor([40.0]),
        "p.act_global_scale": torch.tensor([40.0]),
        "p.forward_hadamard_matrix": (torch.tensor(signs) / math.sqrt(size)).bfloat16(),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    tiny.write_json(tmp_path / "config.json", {"quantization_config": {"forward_dtype": "nvfp4"}})
    kernel, ours, plain = linears(open_checkpoint(tmp_path), ["p"], Precision.W4A4)
    x = torch.randn(5, 128, generator=generator).to(DEVICE)
    x[:, 7] *= 30  # which a rotation spreads
    wanted = kernel.forward(x)
    assert relative(ours.forward(x), wanted) < EXACT
    assert relative(plain.forward(x), wanted) > 10 * EXACT


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("mo_qwen3_moe_NVFP4_DEFAULT_CFG", "auto"),
        pytest.param("mo_gpt_oss_NVFP4", "w4a8", marks=pytest.mark.slow),
    ],
)
def test_experts_are_the_kernels(fixtures: Path, name: str, precision: str) -> None:
    checkpoint = open_checkpoint(fixtures / name)
    gpt_oss = "gpt_oss" in name
    width = checkpoint.config.get("moe_intermediate_size") or checkpoint.config["intermediate_size"]
    count = checkpoint.config.get("num_local_experts", 4)
    spec = MoeSpec(
        count, 2, width, activation="swiglu_oai" if gpt_oss else "silu", expert_bias=gpt_oss
    )
    asked = Precision(precision)
    with TensorReader(checkpoint) as reader:

        def load(way: Execution) -> Experts:
            stored = StoredWeights(reader, torch.float32, DEVICE, way)
            return load_experts(stored, MLP, spec, 64, interleaved=gpt_oss)

        kernel = load(Execution(target_of(DEVICE), asked))
        ours = load(Execution(precision=asked, emulated=CARDS["RTX 50"]))
        plain = load(TORCH)
    assert isinstance(ours, EmulatedExperts)
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(3, 64, generator=generator).to(DEVICE)
    weights = torch.rand(3, 2, generator=generator).to(DEVICE)
    chosen = torch.stack([torch.randperm(count, generator=generator)[:2] for _ in x])
    chosen = chosen.int().to(DEVICE)
    added = torch.randn(3, 64, generator=generator).to(DEVICE)

    def of(experts: Experts) -> torch.Tensor:
        return experts.forward(x, weights, chosen, 1, added) - added

    wanted = of(kernel)
    assert relative(of(ours), wanted) < EXACT
    assert relative(of(plain), wanted) > 10 * EXACT


def demo(precision: str = "auto", kernels: str = "emulated", **options: Any) -> LLM:
    return LLM(
        "demo",
        device="cpu",
        max_model_len=256,
        threads=1,
        precision=precision,
        kernels=kernels,
        **options,
    )


def test_a_model_says_what_it_rounds_and_thinks_otherwise_of_a_text() -> None:
    ids = list(range(40, 90))
    with demo("w4a4") as narrow, demo("w4a16") as wide:
        assert narrow.info.kernel_path == (
            "torch float32, inputs rounded as on an RTX 50: decode nvfp4, prefill nvfp4"
        )
        assert wide.info.kernel_path == "torch float32", "as without emulation"
        assert any("far slower" in note for note in narrow.info.notes)
        assert any("rounds nothing" in note for note in wide.info.notes)
        assert (narrow.score(ids) - wide.score(ids)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: demo("w4a4", kv_cache_dtype="fp8"), "An fp8 KV cache needs a GPU"),
        (lambda: demo("w4a4", kernels="torch"), "--kernels emulated to see what narrower ones do"),
        (lambda: demo(kernels="imagined"), "auto, triton, torch, emulated, not 'imagined'"),
    ],
)
def test_what_cannot_be_emulated_is_refused(ask: Callable[[], LLM], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        ask()


def test_weights_that_no_narrow_kernel_reads_are_refused(fixtures: Path) -> None:
    with pytest.raises(UserError, match=r"^Precision w4a4 cannot run on sm_120: integer codes"):
        linears_of_rtx_50(open_checkpoint(fixtures / "awq"))


def linears_of_rtx_50(checkpoint: Checkpoint) -> None:
    way = Execution(precision=Precision.W4A4, emulated=CARDS["RTX 50"])
    with TensorReader(checkpoint) as reader:
        kind = linear_kind(checkpoint, DOWN[0])
        height, width = linear_shape(checkpoint, DOWN[0], kind)
        stored = StoredWeights(reader, torch.float32, DEVICE, way)
        stored.linear(DOWN, [height], width, bias=False)
