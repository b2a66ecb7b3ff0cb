"""What a quantisation is said to take."""

from dataclasses import replace

import pytest

from localfp4.quantize.planning.plan import quantise_plan
from localfp4.quantize.planning.sites import quantised_sites
from localfp4.quantize.recipe import CalibrationSource, Recipe, Rounding
from localfp4.quantize.streaming.rounds import hessian_bytes
from tests.quantize.planning.models import GB, card, cpu, published

RTN = Recipe(method="rtn", rounding=Rounding("rtn"))


def test_an_8b_model_is_quantised_on_an_8_gb_card() -> None:
    plan = quantise_plan(published("qwen3-8b"), Recipe(), card("4060"))
    assert plan.fits
    assert plan.device_bytes < 8 * GB
    # 4 * 4096 * 4096 for q/k/v, o and gate/up each, 4 * 12288 * 12288 for down.
    assert plan.hessians.nbytes == 4 * (3 * 4096**2 + 12288**2)
    assert plan.hessians.rounds == 1
    assert plan.layer_bytes == 2 * (
        4096 * (2 * 4096 + 2 * 1024) + 3 * 4096 * 12288 + 2 * 4096 + 2 * 128
    )
    assert plan.activation_bytes == 128 * 2048 * 4096 * 2


def test_what_does_not_fit_at_once_is_gathered_in_rounds() -> None:
    opened, recipe = published("qwen3-30b-a3b:2"), Recipe()
    whole = quantise_plan(opened, recipe, card("4060"))
    assert whole.hessians.rounds == 1
    less = whole.device_bytes - whole.hessians.nbytes // 2
    tight = quantise_plan(opened, recipe, card("4060"), limit_bytes=less)
    assert tight.hessians.rounds in (2, 3)
    assert tight.device_bytes <= less
    assert tight.fits
    assert tight.hessians.budget is not None
    assert tight.hessians.nbytes <= tight.hessians.budget


def test_one_hessian_must_fit() -> None:
    opened = published("gemma3-27b")
    largest = max(hessian_bytes(site) for site in quantised_sites(opened, Recipe()))
    assert largest == 4 * 21504**2
    plan = quantise_plan(opened, Recipe(), card("4060"))
    assert not plan.fits
    assert plan.shortages == (
        "The GPU has 6.6 GiB of memory to spare, and quantising takes 6.9 GiB; close other programs, "
        "take --method rtn, which needs no Hessians, or use the CPU with --device cpu.",
    )
    assert quantise_plan(opened, RTN, card("4060")).fits


def test_rounding_to_nearest_takes_a_layer_and_little_else() -> None:
    plan = quantise_plan(published("qwen3-8b"), RTN, card("4060"))
    assert plan.hessians.nbytes == plan.hessians.rounds == plan.activation_bytes == 0
    assert plan.step_bytes == 0
    assert plan.device_bytes < 2 * GB


def test_static_scales_of_inputs_need_text_but_no_hessians() -> None:
    recipe = replace(RTN, precision="w4a4")
    plan = quantise_plan(published("qwen3-8b"), recipe, card("4060"))
    assert plan.step_bytes > 0
    assert plan.activation_bytes > 0
    assert plan.hessians.nbytes == 0


def test_activations_go_to_the_disk_where_memory_is_small() -> None:
    opened = published("qwen3-8b")
    large, small = (quantise_plan(opened, Recipe(), card("4060", ram)) for ram in (28, 4))
    assert not large.activations_on_disk
    assert small.activations_on_disk
    assert small.disk_bytes - large.disk_bytes == small.activation_bytes == 2 * 2**30
    assert large.ram_bytes - small.ram_bytes == large.activation_bytes
    assert small.fits


def test_finished_layers_lie_beside_the_new_files() -> None:
    plan = quantise_plan(published("qwen3-8b"), Recipe(), card("4060"))
    assert plan.disk_bytes == plan.size.total + plan.size.quantised


def test_a_cpu_holds_everything_in_main_memory_in_float32() -> None:
    opened = published("qwen3-8b")
    gpu, plan = (
        quantise_plan(opened, Recipe(), card("4060")),
        quantise_plan(opened, Recipe(), cpu(64)),
    )
    assert plan.layer_bytes == 2 * gpu.layer_bytes
    assert plan.activation_bytes == 2 * gpu.activation_bytes
    assert plan.ram_bytes == plan.device_bytes > plan.activation_bytes
    short = quantise_plan(opened, Recipe(), cpu(4))
    assert short.shortages[0].startswith("This computer has 3.4 GiB of memory to spare")


def test_main_memory_beside_a_card_counts() -> None:
    plan = quantise_plan(published("qwen3-8b"), Recipe(), card("4060", 2))
    assert plan.shortages[0].startswith(
        "Main memory has 1.9 GiB free, and quantising takes 2.2 GiB"
    )


def test_windows_are_as_long_as_the_model_allows() -> None:
    opened = published("qwen3-8b")
    recipe = Recipe(calibration=CalibrationSource(samples=1, length=10**6))
    assert quantise_plan(opened, recipe, card("4090")).length == 40960


@pytest.mark.parametrize(("distil", "of_a_weight"), [("scales", 9 / 16 + 1), ("all", 9 / 16 + 17)])
def test_training_needs_the_whole_model_on_the_device(distil: str, of_a_weight: float) -> None:
    opened, recipe = published("qwen3-8b"), Recipe(distil=distil)  # type: ignore[arg-type]
    weights = sum(site.weights for site in quantised_sites(opened, recipe))
    plan = quantise_plan(opened, recipe, card("4060", 64))
    # Codes, and 16 bytes for a scale of 16 weights, or for each weight as well.
    beside = plan.distilling_bytes - weights * of_a_weight
    assert 0 < beside < 8 * GB
    assert plan.device_bytes > plan.distilling_bytes
    assert "leave out --distil" in plan.shortages[0]
    assert quantise_plan(opened, recipe, card("H200", 64)).fits


def test_measuring_what_suffers_takes_a_stream_for_each_format() -> None:
    opened = published("qwen3-8b")
    plain, mixed = (
        quantise_plan(opened, Recipe(target_bytes=target), card("4060"))
        for target in (None, 9 * GB)
    )
    streams = 1 + 2 * 4 * 36
    assert mixed.activation_bytes == streams * 4 * 512 * 4096 * 2 > plain.activation_bytes
