"""Models that are rounded while they are loaded, whole: logits, sizes, what runs, what is told.

What the reader makes is written to a file as an exporter would; other means than ours expand it,
and transformers runs the result.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import Dense, linear_kind, module_names
from localfp4.checkpoint.open_reader import open_reader
from localfp4.checkpoint.rounded.checkpoint import rounded_checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.text_part import text_part
from localfp4.config import ROUNDINGS, EngineConfig
from localfp4.engine.fingerprint import fingerprint
from localfp4.errors import CheckpointError
from localfp4.llm import LLM
from localfp4.models.execution import TORCH, Execution
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.families import decoder_spec, renames
from localfp4.models.forecast import forecast
from localfp4.models.header_sizes import expanded_sizes, kernel_sizes
from localfp4.models.load import load_decoder
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.plan import cpu_machine
from localfp4.models.size import weight_sizes
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes
from localfp4_kernels.dispatch import Precision
from localfp4_kernels.target import Target
from tests.models import tiny
from tests.models.outlined import outlined_sizes
from tests.models.test_families_in_formats import KEPT, STACK, families
from tests.models.test_parity_formats import reference

CPU = torch.device("cpu")
TITLES = {
    "nvfp4": "NVFP4 W4A16",
    "mxfp4": "MXFP4 W4A16",
    "fp8": "FP8 per channel",
    "int4": "INT4 group 128",
}
WIDE = {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "head_dim": 64}
"""So that every format fits, and INT4 has several groups to a row."""

MODELS: dict[str, dict[str, Any]] = {
    "qwen3": {"model_type": "qwen3"},
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 256,
    },
    "gpt_oss": {
        "model_type": "gpt_oss",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 128,
        "rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
    },
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of transformers in 16 bits."""
    folder = tmp_path_factory.mktemp("plain")
    torch.manual_seed(0)
    found = {}
    for name, settings in MODELS.items():
        model = tiny.build_from(tiny.complete(WIDE | settings))
        tiny.randomise(model)
        found[name] = tiny.save(model.to(torch.bfloat16), folder / name)
    return found


def exported(folder: Path, rounding: str, target: Path) -> Path:
    """Write what the reader makes as an exporter would."""
    checkpoint = open_model(folder, rounding).checkpoint
    with open_reader(checkpoint, CPU) as reader:
        tensors = {name: reader.read(name).contiguous() for name in checkpoint.tensors}
    for name in [name for name in tensors if name.endswith(".weight_zero_point")]:
        prefix = name.removesuffix("_zero_point")
        rows, words = tensors[f"{prefix}_packed"].shape
        tensors[f"{prefix}_shape"] = torch.tensor([rows, 8 * words])
    # Routers of gpt-oss are called otherwise here.
    if checkpoint.config["model_type"] == "gpt_oss":
        tensors = {name.replace(".mlp.gate.", ".mlp.router."): t for name, t in tensors.items()}
    target.mkdir()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    tiny.write_json(target / "config.json", json.loads(json.dumps(dict(checkpoint.config))))
    return target


def opened(folder: Path, **options: Any) -> LLM:
    return LLM(
        str(folder),
        device="cpu",
        dtype="float32",
        max_model_len=128,
        kv_cache_tokens=256,
        threads=1,
        **options,
    )


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "rounding"),
    [
        *(("qwen3", rounding) for rounding in ROUNDINGS),
        ("qwen3_moe", "int4"),
        ("qwen3_moe", "nvfp4"),
        ("gpt_oss", "fp8"),
        ("gpt_oss", "mxfp4"),
    ],
)
def test_logits_are_those_of_the_rounded_numbers(
    saved: dict[str, Path], tmp_path: Path, name: str, rounding: str
) -> None:
    ids = tiny.token_ids(40)
    with opened(saved[name], rounding=rounding) as llm:
        assert llm.info.weight_format == f"{TITLES[rounding]}, rounded while loading"
        assert llm.info.notes == ()
        ours = llm.logits(ids)
    with opened(saved[name]) as plain:
        change = float((ours - plain.logits(ids)).abs().max())
    theirs = tiny.logits_of(reference(exported(saved[name], rounding, tmp_path / "x")), ids)
    difference = float((ours - theirs).abs().max())
    assert difference <= tiny.TOLERANCE < 0.03 < change


def test_what_is_loaded_is_what_an_exporters_file_would_give(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    ids = tiny.token_ids(20)
    folder = exported(saved["qwen3_moe"], "mxfp4", tmp_path / "x")
    with opened(saved["qwen3_moe"], rounding="mxfp4") as one, opened(folder) as other:
        assert torch.equal(one.logits(ids), other.logits(ids))
        assert other.info.weight_format == "MXFP4 W4A16"
        assert one.info.parameters == other.info.parameters
        assert one.info.weight_bytes == other.info.weight_bytes


@pytest.mark.parametrize("rounding", ["nvfp4", "int4"])
def test_kernels_run_rounded_weights(fixtures: Path, rounding: str) -> None:
    """In the interpreter, and 4-bit activations without a scale that somebody calibrated."""
    precision = "w4a4" if rounding == "nvfp4" else "auto"
    ids = tiny.token_ids(4)
    with opened(fixtures / "m_qwen3", rounding=rounding) as plain:
        wide = plain.logits(ids)
    with opened(
        fixtures / "m_qwen3", rounding=rounding, precision=precision, kernels="triton"
    ) as llm:
        narrow = llm.logits(ids)
    error = float((narrow - wide).norm() / wide.norm())
    assert (0.01 < error < 0.3) if rounding == "nvfp4" else error < 1e-3


def loaded(model: OpenedModel, execution: Execution) -> WeightSizes:
    steps = load_decoder(model.checkpoint, model.spec, torch.float32, CPU, execution)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return weight_sizes(end.value)


@pytest.mark.parametrize(
    ("name", "rounding"),
    [("qwen3_moe", "nvfp4"), ("qwen3_moe", "fp8"), ("gpt_oss", "mxfp4"), ("gpt_oss", "int4")],
)
def test_sizes_that_are_planned_are_those_that_are_loaded(
    saved: dict[str, Path], name: str, rounding: str
) -> None:
    model, plain = open_model(saved[name], rounding), open_model(saved[name])
    tied = shares_embedding(model.checkpoint)
    for_kernels = loaded(model, Execution(Target(89, 1), Precision.AUTO))
    outlined = outlined_sizes(model.checkpoint, model.spec, "float32", 89, "auto")
    assert outlined == for_kernels
    assert sum(for_kernels.experts) < 0.3 * sum(loaded(plain, TORCH).experts)
    near = kernel_sizes(model.checkpoint, model.spec, "float32", tied=tied)
    assert sum(near.experts) == pytest.approx(sum(for_kernels.experts), rel=0.1)
    expanded = expanded_sizes(model.checkpoint, model.spec, "float32", tied=tied)
    unrounded = expanded_sizes(plain.checkpoint, plain.spec, "float32", tied=tied)
    # A stack is rounded expert by expert, so that no more than one of them is there twice.
    assert expanded.laid_out <= unrounded.laid_out
    assert replace(expanded, laid_out=unrounded.laid_out) == unrounded


def test_a_forecast_knows_of_rounding(saved: dict[str, Path]) -> None:
    machine = cpu_machine(8 * 2**30, 16 * 2**30)
    plain, rounded = (
        forecast(EngineConfig(str(saved["qwen3"]), rounding=rounding), saved["qwen3"], machine)
        for rounding in (None, "nvfp4")
    )
    assert plain.sizes == rounded.sizes, "which plain torch expands"


def test_pages_of_one_format_are_not_taken_for_anothers(saved: dict[str, Path]) -> None:
    checkpoints = [open_model(saved["qwen3"], r).checkpoint for r in (None, *ROUNDINGS)]
    assert len({fingerprint([one], []) for one in checkpoints}) == len(checkpoints)


def test_a_stack_of_another_shape_is_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    tensors = tiny.stored(saved["gpt_oss"])
    name = "model.layers.0.mlp.experts.down_proj"
    tensors[name] = tensors[name][:, :64]
    folder = tiny.restored(saved["gpt_oss"], tmp_path / "x", tensors)
    with pytest.raises(CheckpointError, match=rf"'{name}' is BF16 of shape \[4, 64, 256\], but"):
        open_model(folder, "fp8")


def test_a_missing_bias_of_experts_is_named(saved: dict[str, Path], tmp_path: Path) -> None:
    tensors = tiny.stored(saved["gpt_oss"])
    del tensors["model.layers.1.mlp.experts.gate_up_proj_bias"]
    folder = tiny.restored(saved["gpt_oss"], tmp_path / "x", tensors)
    with pytest.raises(CheckpointError, match=r"has no tensor model\.layers\.1\.mlp\.experts\.0\."):
        loaded(open_model(folder, "fp8"), TORCH)


def headers(shapes: Iterable[tuple[str, tuple[int, ...]]], config: dict[str, Any]) -> Checkpoint:
    """Return a checkpoint with these tensors in a file that need not be there."""
    folder, end, tensors = Path("nowhere"), 0, {}
    for name, shape in shapes:
        start, end = end, end + 2 * torch.Size(shape).numel()
        tensors[name] = TensorInfo(name, "BF16", shape, start, end, folder / "model.safetensors")
    return Checkpoint(folder, config, {}, None, tensors)


@pytest.mark.parametrize("name", families())
def test_every_family_keeps_what_exporters_keep(name: str) -> None:
    settings = tiny.complete(tiny.CONFIGS[name])
    with torch.device("meta"):
        model = tiny.build_from(settings)
    config = model.config.to_dict()
    shapes = [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
    checkpoint = text_part(headers(shapes, config), renames(config)).checkpoint
    stacks = tuple(dense_stacks(checkpoint, decoder_spec(config)))
    rounded = rounded_checkpoint(checkpoint, "fp8", stacks)
    found = sum(
        not isinstance(linear_kind(rounded, prefix), Dense) for prefix in module_names(rounded)
    )
    expected = 0
    for tensor, shape in shapes:
        stack = STACK.match(tensor)
        if stack is not None and not stack[3]:
            expected += shape[0] * (2 if stack[2] == "gate_up_proj" else 1)
        elif tensor.endswith(".weight") and len(shape) == 2 and not KEPT.search(tensor):
            expected += 1
    assert found + len(rounded.kept) == expected > 4
