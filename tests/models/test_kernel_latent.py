"""Latent attention and short convolutions of whole models: kernels against plain torch.

Interpreted without a GPU.
"""

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.kernels import choose_execution
from localfp4.errors import UnsupportedModelError
from localfp4.llm import LLM
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import outline_decoder
from localfp4.runner.rehearsal import rehearse
from localfp4_kernels.formats.nvfp4 import quantize_nvfp4_torch
from localfp4_kernels.launch import Launch
from tests.models import tiny
from tests.ops import oracles

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = "bfloat16" if torch.cuda.is_available() else "float32"
EXACT = 2e-2 if torch.cuda.is_available() else 1e-4
"""Largest relative error of logits; those of bfloat16 alone round by 2e-3."""

GREEDY = SamplingParams(max_tokens=2, temperature=0, ignore_eos=True)
# Experts have tests of their own.
_DENSE: dict[str, Any] = {"num_hidden_layers": 2, "mlp_layer_types": ["dense"] * 2}
MODELS: dict[str, dict[str, Any]] = {
    "latent": tiny.CONFIGS["glm4_moe_lite-yarn"] | _DENSE,
    "latent, queries projected directly": tiny.CONFIGS["glm4_moe_lite-direct"] | _DENSE,
    "short convolution": tiny.CONFIGS["lfm2"]
    | {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    "latent, odd widths": tiny.CONFIGS["glm4_moe_lite"] | _DENSE | {"kv_lora_rank": 24},
    "latent, widths for 4 bits": tiny.CONFIGS["glm4_moe_lite"]
    | _DENSE
    | {
        "q_lora_rank": 64,
        "kv_lora_rank": 64,
        "v_head_dim": 16,
        "intermediate_size": 128,
    },
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")

    def folder(name: str) -> Path:
        path = root / name
        if not path.exists():
            model = tiny.build_from(tiny.complete(MODELS[name]))
            tiny.randomise(model)
            tiny.save(model, path)
        return path

    return folder


def opened(folder: Path, kernels: str, **settings: Any) -> LLM:
    # Chunks of 24 tokens make prompts meet their own beginning in the cache.
    sizes = {"max_model_len": 192, "max_step_tokens": 24, "kv_cache_tokens": 384}
    return LLM(
        str(folder), kernels=kernels, device=DEVICE, dtype=DTYPE, threads=1, **(sizes | settings)
    )


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    "name",
    [
        "latent",
        pytest.param("latent, queries projected directly", marks=pytest.mark.slow),
        "short convolution",
    ],
)
def test_kernels_compute_what_torch_does(folder_of: Callable[[str], Path], name: str) -> None:
    ids = tiny.token_ids(28)
    with opened(folder_of(name), "torch") as plain, opened(folder_of(name), "triton") as kernels:
        assert error(kernels.logits(ids), plain.logits(ids)) < EXACT
        prompts = [{"prompt_token_ids": tiny.token_ids(size)} for size in (5, 9)]
        expected = [answer.token_ids for answer in plain.generate(prompts, GREEDY)]
        answered = [answer.token_ids for answer in kernels.generate(prompts, GREEDY)]
    assert DTYPE == "bfloat16" or answered == expected


def test_latents_in_8_bits_stay_close(folder_of: Callable[[str], Path]) -> None:
    ids, folder = tiny.token_ids(30), folder_of("latent")
    with opened(folder, "torch") as plain, opened(folder, "triton", kv_cache_dtype="fp8") as ours:
        assert 1e-3 < error(ours.logits(ids), plain.logits(ids)) < 0.08


def in_nvfp4(folder: Path, target: Path) -> dict[str, torch.Tensor]:
    """Save a model with its layers' matrices quantised, and return what they expand to."""
    tensors, expanded = {}, {}
    for name, tensor in tiny.stored(folder).items():
        if tensor.dim() != 2 or ".layers." not in name:
            tensors[name] = expanded[name] = tensor
            continue
        weight = quantize_nvfp4_torch(tensor)
        tensors[name] = weight.packed
        tensors[f"{name}_scale"] = weight.scale
        tensors[f"{name}_scale_2"] = weight.global_scale
        row_scale = weight.global_scale.expand(len(tensor))
        scale = weight.scale.view(torch.uint8)
        exact = oracles.fp4_matrix(weight.packed, scale, row_scale, 16, "e4m3")
        expanded[name] = exact.float()
    tiny.restored(folder, target, tensors)
    settings = json.loads((target / "config.json").read_text(encoding="utf-8"))
    quantised = {
        "quant_method": "modelopt",
        "quant_algo": "W4A16_NVFP4",
        "ignore": ["lm_head", "model.embed_tokens"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16},
            }
        },
    }
    tiny.write_json(target / "config.json", settings | {"quantization_config": quantised})
    return expanded


@pytest.mark.parametrize(
    ("kernels", "largest"), [("torch", 1e-5), pytest.param("triton", 2e-3, marks=pytest.mark.slow)]
)
def test_latent_attention_in_4_bits(
    folder_of: Callable[[str], Path], tmp_path: Path, kernels: str, largest: float
) -> None:
    """The maps of latents are expanded, the projections around them stay as they are stored."""
    name, ids = "latent, widths for 4 bits", tiny.token_ids(50)
    expanded = in_nvfp4(folder_of(name), tmp_path / "model")
    theirs = tiny.build_from(tiny.complete(MODELS[name]))
    theirs.load_state_dict(expanded)
    expected = tiny.logits_of(theirs, ids)
    with opened(tmp_path / "model", kernels, precision="w4a16") as ours:
        assert error(ours.logits(ids), expected) < max(largest, EXACT)


def test_widths_that_kernels_do_not_take_are_named(folder_of: Callable[[str], Path]) -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"Latents of 24 and rotated keys of 16 .* torch"
    ):
        opened(folder_of("latent, odd widths"), "triton")


@pytest.mark.parametrize(
    ("name", "kv_dtype"),
    [
        ("latent", "fp8"),
        pytest.param("latent", DTYPE, marks=pytest.mark.slow),
        pytest.param("short convolution", DTYPE, marks=pytest.mark.slow),
    ],
)
def test_everything_that_runs_was_rehearsed(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str, kv_dtype: str
) -> None:
    """Otherwise a kernel would be compiled in the middle of an answer."""
    launched: set[Hashable] = set()
    run = Launch.run

    def spy(launch: Launch) -> None:
        launched.add(launch.specialisation)
        run(launch)

    folder = folder_of(name)
    with monkeypatch.context() as patch:
        patch.setattr(Launch, "run", spy)
        stored = "auto" if kv_dtype == DTYPE else kv_dtype
        with opened(folder, "triton", kv_cache_dtype=stored, max_batch=2) as ours:
            prompts = [{"prompt_token_ids": tiny.token_ids(size)} for size in (1, 20)]
            ours.generate(prompts, GREEDY)
    assert len(launched) > 2
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    checkpoint = text_part(checkpoint, renames(settings)).checkpoint
    execution = choose_execution(EngineConfig("", kernels="triton"), torch.device(DEVICE))
    outline = outline_decoder(checkpoint, decoder_spec(settings), getattr(torch, DTYPE), execution)
    rehearsed = rehearse(outline, kv_dtype, max_batch=2, max_step_tokens=24)
    assert launched <= {launch.specialisation for launch in rehearsed}
