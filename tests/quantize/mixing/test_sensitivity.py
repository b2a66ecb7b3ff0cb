"""How much each unit matters, against whole models that differ in it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4.llm import LLM
from localfp4.models.opened import open_model
from localfp4.quantize.events import Progress
from localfp4.quantize.mixing.allocate import Sensitivity, allocate
from localfp4.quantize.mixing.sensitivity import sensitivities
from localfp4.quantize.mixing.units import Unit
from localfp4.quantize.planning.size import model_size
from localfp4.quantize.recipe import Recipe, WeightFormat
from localfp4.quantize.rounding.nearest import round_to_nearest
from tests.quantize.mixing.sizes import mix_bytes
from tests.quantize.rounded_streams import (
    CPU,
    DEMO,
    RTN,
    heldout,
    logits_of,
    mean_divergence,
    results_of,
    unrounded,
)

EXPERTS = "model.layers.0.mlp.experts"
Found = dict[tuple[str, WeightFormat], Sensitivity]


def measured(folder: Path, tokens: torch.Tensor, work: Path, recipe: Recipe) -> Found:
    opened = open_model(folder)
    events = list(sensitivities(opened, recipe, tokens, CPU, torch.float32, work))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [step.done for step in steps] == list(range(1, steps[-1].total + 1))
    found = [event for event in events if isinstance(event, Sensitivity)]
    assert len(found) == len(events) - len(steps)
    return {(one.unit.name, one.format): one for one in found}


def random_tokens(samples: int, length: int, vocab: int) -> torch.Tensor:
    return torch.randint(3, vocab, (samples, length), generator=torch.Generator().manual_seed(1))


def logits_with(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    with LLM(str(folder), device="cpu", max_model_len=128) as llm:
        return torch.stack([llm.logits(window.tolist()) for window in tokens])


def test_a_unit_matters_as_much_as_a_model_differs_that_differs_in_it(
    fixtures: Path, tmp_path: Path
) -> None:
    tensors = load_file(fixtures / "m_qwen3_moe" / "model.safetensors")
    # Answers that are sure of themselves, so that divergences are no rounding errors.
    tensors["lm_head.weight"] *= 30
    config = (fixtures / "m_qwen3_moe" / "config.json").read_bytes()
    source = saved(tensors, config, tmp_path / "source")
    tokens = random_tokens(3, 70, 256)
    (tmp_path / "work").mkdir()
    found = measured(source, tokens, tmp_path / "work", Recipe(keep=()))
    original = logits_with(source, tokens)

    cases: tuple[tuple[str, WeightFormat], ...] = (
        ("model.layers.0.self_attn.o_proj", "fp8"),
        (EXPERTS, "nvfp4"),
        ("lm_head", "nvfp4"),
    )
    for name, format in cases:
        changed = dict(tensors)
        for site in found[name, format].unit.sites:
            merged = torch.cat([tensors[f"{prefix}.weight"] for prefix in site.prefixes])
            values = round_to_nearest(merged.float(), format, RTN).dequantised()
            for prefix, start, end in site.parts():
                changed[f"{prefix}.weight"] = values[start:end]
        folder = saved(changed, config, tmp_path / name)
        expected = mean_divergence(original, logits_with(folder, tokens))
        assert expected > 3e-6
        assert found[name, format].kl == pytest.approx(expected, rel=0.03)


def saved(tensors: dict[str, torch.Tensor], config: bytes, folder: Path) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_bytes(config)
    return folder


def test_experts_of_a_layer_are_one_unit_and_the_head_is_the_last(
    fixtures: Path, tmp_path: Path
) -> None:
    tokens = random_tokens(1, 40, 256)
    found = measured(fixtures / "m_qwen3_moe", tokens, tmp_path, Recipe(keep=()))
    assert list(dict.fromkeys(name for name, _ in found)) == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.o_proj",
        EXPERTS,
        "lm_head",
    ]
    assert len(found[EXPERTS, "nvfp4"].unit.sites) > 2
    # Eight bits harm less than four.
    for name, format in found:
        assert found[name, "fp8"].kl <= found[name, format].kl


@pytest.mark.slow
def test_measured_mixes_beat_other_mixes_of_the_same_size(tmp_path: Path) -> None:
    opened, recipe = open_model(DEMO / "bf16"), Recipe(keep=())
    tokens = heldout(8, 512)
    (tmp_path / "work").mkdir()
    found = measured(DEMO / "bf16", tokens[:4], tmp_path / "work", recipe)
    units: list[Unit] = list({one.unit.name: one.unit for one in found.values()}.values())
    kept = model_size(opened, recipe).kept
    low, high = (sum(unit.nbytes(format) for unit in units) for format in ("nvfp4", "fp8"))
    target = kept + (low + high) // 2

    mixes = [allocate(found.values(), target, rest_bytes=kept)]
    for order in (units, units[::-1], units[1::2] + units[::2]):
        mixes.append(first_in_eight_bits(order, target - kept))
    original = logits_of(opened, unrounded(opened), tokens[4:], "w4a16", tmp_path)
    harms = []
    for mix in mixes:
        assert mix_bytes(units, mix) + kept <= target
        rounded = results_of(opened, recipe, mix)
        answers = logits_of(opened, rounded, tokens[4:], "w4a16", tmp_path)
        harms.append(mean_divergence(original, answers))
    assert harms[0] < 0.9 * min(harms[1:])


def first_in_eight_bits(units: list[Unit], room: int) -> dict[str, WeightFormat | None]:
    """Give eight bits to units one after the other, as long as they fit."""
    mix: dict[str, WeightFormat | None] = {u.sites[0].name: "nvfp4" for u in units}
    for unit in units:
        mix[unit.sites[0].name] = "fp8"
        if mix_bytes(units, mix) > room:
            mix[unit.sites[0].name] = "nvfp4"
    return mix
