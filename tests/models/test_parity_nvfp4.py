"""Quantised checkpoints of both exporters against transformers with weights expanded elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8

from tests.models import tiny

pytestmark = pytest.mark.parity

TOLERANCE = 3e-6
"""A tenth of what random models get: these logits are below one."""
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

Tensors = dict[str, torch.Tensor]


def expanded_modelopt(tensors: Tensors, prefix: str) -> torch.Tensor:
    """Expand ``E2M1 * scale * global`` in float64, element by element."""
    packed = tensors[f"{prefix}.weight"]
    codes = torch.stack((packed & 15, packed >> 4), dim=-1).flatten(1).long()
    values = torch.tensor([*E2M1, *(-v for v in E2M1)], dtype=torch.float64)[codes]
    scale = tensors[f"{prefix}.weight_scale"].double().repeat_interleave(16, dim=1)
    return (values * scale * tensors[f"{prefix}.weight_scale_2"].double()).float()


def expanded_compressed_tensors(tensors: Tensors, prefix: str) -> torch.Tensor:
    """Expand with compressed-tensors' own unpacking; its global scale is a divisor."""
    packed = tensors[f"{prefix}.weight_packed"]
    rows, half = packed.shape
    values = unpack_fp4_from_uint8(packed, rows, 2 * half, torch.float32)
    scale = tensors[f"{prefix}.weight_scale"].float().repeat_interleave(16, dim=1)
    expanded: torch.Tensor = values * (scale / tensors[f"{prefix}.weight_global_scale"])
    return expanded


def expand(tensors: Tensors) -> Tensors:
    """Return plain weights under the names of an unquantised checkpoint."""
    plain: Tensors = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_packed"):
            prefix = name.removesuffix(".weight_packed")
            plain[f"{prefix}.weight"] = expanded_compressed_tensors(tensors, prefix)
        elif name.endswith(".weight") and tensor.dtype == torch.uint8:
            plain[name] = expanded_modelopt(tensors, name.removesuffix(".weight"))
        elif name.endswith(".weight"):
            plain[name] = tensor.float()
    return plain


def stack_experts(plain: Tensors) -> Tensors:
    """Rename experts as transformers keeps them in memory."""
    stacked = {name: tensor for name, tensor in plain.items() if ".experts." not in name}
    for prefix in {name.partition(".experts.")[0] for name in plain if ".experts." in name}:
        count = sum(n.startswith(f"{prefix}.experts.") for n in plain) // 3

        def parts(part: str, prefix: str = prefix, count: int = count) -> torch.Tensor:
            names = (f"{prefix}.experts.{e}.{part}_proj.weight" for e in range(count))
            return torch.stack([plain[name] for name in names])

        stacked[f"{prefix}.experts.gate_up_proj"] = torch.cat((parts("gate"), parts("up")), dim=1)
        stacked[f"{prefix}.experts.down_proj"] = parts("down")
    return stacked


def reference(folder: Path) -> Any:
    """Return transformers' model of the unquantised architecture with the expanded weights."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings.pop("quantization_config")
    model = tiny.build_from(settings)
    weights = stack_experts(expand(tiny.stored(folder)))
    if settings["tie_word_embeddings"]:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights)
    return model


@pytest.mark.parametrize(
    ("name", "weight_format"),
    [
        ("ct_qwen3_NVFP4A16", "NVFP4 W4A16"),
        ("ct_qwen3_moe_NVFP4", "NVFP4 W4A4"),
        ("mo_qwen3_NVFP4_DEFAULT_CFG", "NVFP4 W4A4"),
        ("mo_qwen3_W4A16_NVFP4_CFG", "NVFP4 W4A16"),
        ("mo_qwen3_moe_NVFP4_DEFAULT_CFG", "NVFP4 W4A4"),
    ],
)
def test_logits_of_expanded_weights(fixtures: Path, name: str, weight_format: str) -> None:
    ids = tiny.token_ids(80, vocab=256)
    with tiny.open_llm(fixtures / name) as ours:
        logits = ours.logits(ids)
        assert ours.info.weight_format == weight_format
    expected = tiny.logits_of(reference(fixtures / name), ids)
    assert float((logits - expected).abs().max()) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("q_proj.weight_scale", lambda scale: scale.roll(1, 0)),
        ("v_proj.weight_scale_2", lambda scale: scale * 1.001),
        ("up_proj.weight", lambda packed: (packed >> 4) | (packed << 4)),
    ],
)
def test_a_misread_weight_is_told_apart(
    fixtures: Path, tmp_path: Path, name: str, mistake: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """The negative control: the fixtures' logits do depend on every part of the format."""
    folder = fixtures / "mo_qwen3_NVFP4_DEFAULT_CFG"
    tensors = {n: mistake(t) if n.endswith(name) else t for n, t in tiny.stored(folder).items()}
    ids = tiny.token_ids(40, vocab=256)
    with tiny.open_llm(tiny.restored(folder, tmp_path / "model", tensors)) as ours:
        logits = ours.logits(ids)
    assert float((logits - tiny.logits_of(reference(folder), ids)).abs().max()) > 3 * TOLERANCE
