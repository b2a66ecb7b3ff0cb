"""The loop over layers: what it looks at, what it leaves, what it tells."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.errors import CheckpointError, UserError
from localfp4.models.emulated import round_activations
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.events import Event, Note, Progress
from localfp4.quantize.recipe import Precision, Recipe
from localfp4.quantize.results import QuantisedSite
from localfp4.quantize.rounding.codes import Fp8Codes, Nvfp4Codes
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming import one_layer
from localfp4.quantize.streaming.layers import quantise_layers
from localfp4.quantize.streaming.solved import solve_site
from localfp4.quantize.streaming.work import WorkFolder
from tests.models import tiny
from tests.quantize.streaming import walk


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    with WorkFolder.open(tmp_path / "out", "any") as folder:
        yield folder


def quantised(opened: OpenedModel, recipe: Recipe, work: WorkFolder, **options: Any) -> list[Event]:
    tokens = walk.tokens() if recipe.needs_calibration else None
    return list(quantise_layers(opened, recipe, tokens, work, walk.CPU, **options))


def bytes_of(work: WorkFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.folder.rglob("*.safetensors")}


def exchange(model: Any, opened: OpenedModel, work: WorkFolder) -> dict[str, QuantisedSite]:
    """Give linears of transformers the rounded weights; return what came of each, by its name."""
    files, modules = walk.original_names(opened), dict(model.named_modules())
    found = {}
    for index in range(len(opened.spec.layers) + 1):
        for one in work.load(index).sites:
            weight = one.codes.dequantised()
            for prefix, start, end in one.site.parts():
                module = modules[files[prefix]]
                module.weight.data.copy_(weight[start:end])
                found[files[prefix]] = one
    return found


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "method", "precision"),
    [
        ("qwen3", "rtn", "w4a16"),
        ("qwen3", "gptq", "w4a4"),
        ("deepseek_v3", "gptq", "w4a8"),
        ("deepseek_v3", "mr-gptq", "w4a4"),
        pytest.param("qwen3", "gptq", "w4a8", marks=pytest.mark.slow),
        pytest.param("qwen3", "mr-gptq", "w4a4", marks=pytest.mark.slow),
        pytest.param("deepseek_v3", "gptq", "w4a4", marks=pytest.mark.slow),
        pytest.param("qwen3_next", "rtn", "w4a16", marks=pytest.mark.slow),
    ],
)
def test_what_is_saved_runs_in_transformers_as_it_ran_here(
    tmp_path: Path, work: WorkFolder, name: str, method: str, precision: Precision
) -> None:
    """Inputs of transformers' linears go through what the recipe says of them."""
    model, opened = walk.saved(name, tmp_path)
    how = walk.recipe(method, precision, keep=("experts",))
    quantised(opened, how, work)
    sites = exchange(model, opened, work)
    turn = rotation(how.rotation)
    for module_name, one in sites.items():
        module = model.get_submodule(module_name)
        if module_name.endswith("kv_b_proj"):  # multiplied by no rounded row here
            module.weight.data.copy_(module.weight.data @ turn(module.in_features))
        else:
            module.register_forward_pre_hook(reads(one, precision, turn(module.in_features)))
    with torch.no_grad():
        expected = model(walk.tokens()).logits
        plain = tiny.build(name)(walk.tokens()).logits
    found = walk.logits(opened, how, tmp_path, work.load)
    # A number on the verge of two codes may take either, and a token go to another expert.
    assert alike(found, expected) > 0.8
    assert alike(found, plain) < 0.01


def alike(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the share of logits that are the same."""
    return float(((found - expected).abs() < 1e-4).float().mean())


def rotation(block: int) -> Callable[[int], torch.Tensor]:
    """Return what makes the matrix of a rotation by blocks; 0 does not rotate."""
    if not block:
        return torch.eye
    signs = [[(-1.0) ** (i & j).bit_count() for j in range(block)] for i in range(block)]
    one = torch.tensor(signs) / block**0.5
    return lambda columns: torch.block_diag(*[one] * (columns // block))


def reads(one: QuantisedSite, precision: Precision, turn: torch.Tensor) -> Callable[..., Any]:
    """Return a hook that brings the input of a linear into the form that it is read in."""
    activations = {"w4a16": "none", "w4a8": "fp8", "w4a4": "nvfp4"}[precision]
    scale = None if one.input_amax is None else torch.tensor(one.input_amax / 2688)

    def hook(_: object, args: tuple[torch.Tensor, ...]) -> torch.Tensor:
        rows = args[0].flatten(0, -2) @ turn
        narrow: Any = activations
        rounded = round_activations(rows, narrow, scale if activations == "nvfp4" else None)
        return rounded.view(args[0].shape)

    return hook


@pytest.mark.parity
def test_inputs_come_from_layers_that_are_rounded_already(
    tmp_path: Path, work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, opened = walk.saved("qwen3", tmp_path)
    seen: dict[str, torch.Tensor] = {}

    def spy(*args: Any) -> QuantisedSite:
        site, statistics = args[2], args[3]
        assert isinstance(statistics, InputStatistics)
        seen[site.name] = statistics.square.clone()
        return solve_site(*args)

    monkeypatch.setattr(one_layer, "solve_site", spy)
    quantised(opened, walk.recipe(), work)
    before = squares(model, "q_proj")
    exchange(model, opened, work)
    after = squares(model, "q_proj")
    for index in range(len(opened.spec.layers)):
        name = f"model.layers.{index}.self_attn.q_proj"
        torch.testing.assert_close(seen[name].double(), after[name], rtol=1e-3, atol=1e-3)
    last = f"model.layers.{len(opened.spec.layers) - 1}.self_attn.q_proj"
    assert (before[last] - after[last]).abs().max() > 0.1


def squares(model: Any, part: str) -> dict[str, torch.Tensor]:
    """Return the sums of the squared inputs of some linears of a model of transformers."""
    found: dict[str, torch.Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        if name.endswith(part):

            def keep(_: object, args: Any, name: str = name) -> None:
                found[name] = args[0].flatten(0, -2).double().square().sum(0)

            hooks.append(module.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(walk.tokens())
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", ["qwen3_moe", pytest.param("nemotron_h", marks=pytest.mark.slow)])
def test_rounds_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    _, opened = walk.saved(name, tmp_path)
    written, steps = [], []
    for budget in (None, 12 * 64 * 64 * 4):
        with WorkFolder.open(tmp_path / f"out-{budget}", "any") as work:
            events = quantised(opened, walk.recipe(), work, budget_bytes=budget)
            written.append(bytes_of(work))
            steps.append(sum(isinstance(event, Progress) for event in events))
    assert written[0] == written[1]
    assert len(written[0]) == len(opened.spec.layers) + 1
    assert steps[0] < steps[1]


def test_gptq_makes_outputs_better_than_rounding_to_nearest(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3", tmp_path)
    errors = {}
    for method in ("rtn", "gptq"):
        # With inputs of 4 bits both look at them, so that both errors are those of outputs.
        with WorkFolder.open(tmp_path / method, "any") as work:
            how = walk.recipe(method, "w4a4")
            list(quantise_layers(opened, how, walk.tokens(), work, walk.CPU))
            errors[method] = [one.error for one in work.load(1).sites]
    assert all(gptq < rtn for gptq, rtn in zip(errors["gptq"], errors["rtn"], strict=True))


def test_every_step_is_told_and_the_last_is_the_end(tmp_path: Path, work: WorkFolder) -> None:
    _, opened = walk.saved("qwen3_moe", tmp_path)
    tokens = walk.tokens(2, 40)
    events = list(quantise_layers(opened, walk.recipe(), tokens, work, walk.CPU))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [step.done for step in steps] == [*range(1, len(steps) + 1)]
    assert {step.total for step in steps} == {len(steps)}
    assert steps[-1].eta_s == 0
    assert steps[0].eta_s is None
    assert "layer 2 of 3: looking at its inputs" in {step.stage for step in steps}
    [note] = [event for event in events if isinstance(event, Note)]
    assert "experts saw fewer tokens" in note.text


def test_mixed_precision_keeps_and_rounds_what_it_is_told_to(
    tmp_path: Path, work: WorkFolder
) -> None:
    _, opened = walk.saved("qwen3", tmp_path)
    attention = "model.layers.1.self_attn."
    # Any linear of a site may stand for it.
    formats = {f"{attention}k_proj": None, f"{attention}o_proj": "fp8"}
    quantised(opened, walk.recipe("rtn"), work, formats=formats)
    found = {one.site.name: one.codes for one in work.load(1).sites}
    assert f"{attention}q_proj" not in found
    assert isinstance(found[f"{attention}o_proj"], Fp8Codes)
    assert isinstance(found["model.layers.1.mlp.gate_proj"], Nvfp4Codes)
    assert len(work.load(0).sites) == 4


def test_a_head_of_its_own_is_rounded_unless_it_is_kept(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3_moe", tmp_path)
    last = len(opened.spec.layers)
    for keep, names in (((), ["lm_head"]), (("lm_head", "experts"), [])):
        with WorkFolder.open(tmp_path / f"out{len(keep)}", "any") as work:
            quantised(opened, walk.recipe("rtn", keep=keep), work)
            assert [one.site.name for one in work.load(last).sites] == names


def test_linears_whose_columns_do_not_fit_are_told_of(tmp_path: Path, work: WorkFolder) -> None:
    _, opened = walk.saved("qwen3_vl_moe", tmp_path)
    [note] = [
        event for event in quantised(opened, walk.recipe("rtn"), work) if isinstance(event, Note)
    ]
    assert "multiples of 32" in note.text
    assert "mlp.experts" in note.text
    assert not any(one.site.expert is not None for one in work.load(0).sites)


def test_weights_that_are_not_finite_are_one_sentence(tmp_path: Path, work: WorkFolder) -> None:
    model = tiny.build("qwen3")
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = float("nan")
    opened = open_model(tiny.save(model, tmp_path / "model"))
    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp.*not finite"):
        quantised(opened, walk.recipe("rtn"), work)
    assert work.finished() == {0}


def test_inputs_that_are_not_finite_name_the_site(tmp_path: Path, work: WorkFolder) -> None:
    model = tiny.build("qwen3")
    model.model.layers[1].input_layernorm.weight.data[7] = float("inf")
    opened = open_model(tiny.save(model, tmp_path / "model"))
    with pytest.raises(UserError, match=r"model\.layers\.1\.self_attn\.q_proj"):
        quantised(opened, walk.recipe(), work)


def test_nothing_runs_for_a_head_that_stays(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3", tmp_path)
    how, last = walk.recipe(keep=("lm_head",)), len(opened.spec.layers)
    with WorkFolder.open(tmp_path / "out", "any") as work:
        events = list(quantise_layers(opened, how, walk.tokens(), work, walk.CPU))
        stages = [event.stage for event in events if isinstance(event, Progress)]
        assert f"layer {last - 1} of {last}: running it" in stages
        assert f"layer {last} of {last}: running it" not in stages
        (work.folder / "layers" / f"{last:05d}.safetensors").unlink()
        again = list(quantise_layers(opened, how, walk.tokens(), work, walk.CPU))
        assert work.finished() == set(range(last + 1))
    stages = [event.stage for event in again if isinstance(event, Progress)]
    assert stages == ["output projection: stays"]
