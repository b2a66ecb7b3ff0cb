"""Which recipe is advised, and what is said of it."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from localfp4.cli.quantize.options import chosen_recipe, recipe_options
from localfp4.errors import UnsupportedModelError
from localfp4.models.opened import open_model
from localfp4.models.spec import MoeSpec
from localfp4.quantize.planning.advice_words import advice_in_words, plan_in_words
from localfp4.quantize.planning.advise import advise
from localfp4.quantize.planning.command import quantise_command
from localfp4.quantize.recipe import CalibrationSource, Recipe, Rounding
from tests.quantize.planning.models import GB, card, cpu, published


def test_the_usual_recipe_suits_the_usual_card() -> None:
    advice = advise(published("qwen3-8b"), "Qwen/Qwen3-8B", card("4070"))
    assert advice.recipe == Recipe()
    assert advice.command == "localfp4 quantize Qwen/Qwen3-8B"
    assert advice.run is not None
    assert advice.run.max_model_len == 40960
    assert advice.plan.fits


def test_a_quick_result_needs_no_text() -> None:
    advice = advise(published("qwen3-8b"), "M", card("4070"), "fast")
    assert advice.command == "localfp4 quantize M --method rtn"
    assert not advice.recipe.needs_calibration
    assert not any("windows of text" in reason.text for reason in advice.reasons)


def test_the_best_uses_what_the_card_has_left() -> None:
    advice = advise(published("qwen3-8b"), "M", card("4070"), "best")
    assert advice.recipe.rounding.replay
    assert advice.recipe.target_bytes is not None
    assert 6.5 * GB < advice.recipe.target_bytes < 10 * GB
    assert advice.run is not None
    assert advice.run.placement.is_whole
    assert 16384 <= advice.run.max_model_len < 20000
    more = advise(published("qwen3-8b"), "M", card("4070 Ti SUPER"), "best")
    assert more.recipe.target_bytes is not None
    assert more.recipe.target_bytes > advice.recipe.target_bytes


def test_a_card_that_holds_the_original_is_told_so() -> None:
    advice = advise(published("qwen3-8b"), "M", card("5090"), "best")
    assert advice.recipe.target_bytes is None
    assert any(reason.text.startswith("The original fits, too") for reason in advice.reasons)


def test_only_large_models_get_4_bit_inputs_and_only_on_cards_that_gain() -> None:
    large = published("gemma3-27b")
    assert advise(large, "M", card("5090")).recipe.precision == "w4a4"
    assert advise(large, "M", card("4090")).recipe.precision == "w4a16"
    mixed = advise(published("qwen3-30b-a3b"), "M", card("5090"))
    assert mixed.recipe.precision == "w4a4"
    assert any(reason.text.startswith("So do mixtures") for reason in mixed.reasons)
    assert advise(published("qwen3-8b"), "M", card("5090")).recipe.precision == "w4a16"


def test_a_head_that_does_not_fit_is_quantised_too() -> None:
    advice = advise(published("llama3.1-8b"), "M", card("3060 Ti"))
    assert advice.recipe.keep == ()
    assert advice.command == "localfp4 quantize M --keep none"
    assert advice.run is not None
    assert advice.run.placement.is_whole
    assert advise(published("llama3.1-8b"), "M", card("4070")).recipe.keep == ("lm_head",)


def test_a_method_that_is_too_large_is_not_advised() -> None:
    advice = advise(published("gemma3-27b"), "M", card("4060"))
    assert advice.recipe.method == "rtn"
    assert advice.plan.fits
    assert advice.reasons[0].text.startswith(
        "Not gptq, which is too large for this machine: The GPU"
    )
    assert any("stay in main memory" in reason.text for reason in advice.reasons)


def test_many_experts_need_more_text() -> None:
    opened = published("qwen3-30b-a3b:2")
    # 128 windows of 2048 tokens, of which each expert sees a 16th, are 8 rows for each of 2048 columns.
    assert advise(opened, "M", card("4090")).recipe.calibration.samples == 128
    layers = tuple(
        replace(layer, feed_forward=replace(layer.feed_forward, experts_per_token=1))
        for layer in opened.spec.layers
        if isinstance(layer.feed_forward, MoeSpec)
    )
    rarer = replace(opened, spec=replace(opened.spec, layers=layers))
    advice = advise(rarer, "M", card("4090"))
    assert advice.recipe.calibration.samples == 512
    assert advice.command == "localfp4 quantize M --samples 512"
    assert any("few of the many experts" in reason.text for reason in advice.reasons)


def test_a_cpu_is_told_that_it_gains_nothing() -> None:
    advice = advise(published("qwen3-8b"), "M", cpu(64), "best")
    assert advice.recipe.target_bytes is None
    assert any(reason.text.startswith("A CPU expands weights") for reason in advice.reasons)


def test_a_quantised_model_is_refused(demo_folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="demo is stored as NVFP4 W4A16"):
        advise(open_model(demo_folder), "demo", card("4070"))


@pytest.mark.parametrize("accuracy", ["fast", "balanced", "best"])
def test_what_is_said_fits_a_terminal_and_names_its_sources(accuracy: str) -> None:
    advice = advise(published("qwen3-8b"), "Qwen/Qwen3-8B", card("4070"), accuracy)  # type: ignore[arg-type]
    lines = advice_in_words("Qwen/Qwen3-8B", "GeForce RTX 4070", advice)
    lines += plan_in_words(advice.plan)
    assert max(map(len, lines)) <= 100
    for reason in (*advice.reasons, *advice.others, *advice.expectations):
        has_figure = any(sign in reason.text for sign in ("%", "times", "points"))
        assert bool(reason.source) == has_figure, reason


RECIPES = [
    Recipe(),
    Recipe(method="rtn", rounding=Rounding("rtn", "absmax")),
    Recipe(method="awq", rounding=Rounding("rtn"), keep=()),
    Recipe(rounding=Rounding(replay=True, damping=0.05), target_bytes=7_500_000_000),
    Recipe(precision="w4a4", keep=("lm_head", "*.down_proj"), distil="scales"),
    Recipe(format="mxfp4", precision="w4a8"),
    Recipe(export="modelopt", rounding=Rounding(divides=False)),
    Recipe(method="mr-gptq", rotation=16, export="fp-quant"),
    Recipe(method="mr-gptq", rotation=128, format="mxfp4", export="fp-quant"),
    Recipe(calibration=CalibrationSource("a file.txt", 64, 512, 7)),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_command_makes_the_recipe(recipe: Recipe) -> None:
    read: list[Recipe] = []

    @click.command()
    @click.argument("model")
    @click.option("--out")
    @recipe_options
    def quantize(model: str, out: str | None, **options: object) -> None:
        read.append(chosen_recipe(options))
        assert (model, out) == ("my model", "to here")

    words = shlex.split(quantise_command("my model", recipe, out="to here"))
    assert words[:2] == ["localfp4", "quantize"]
    result = CliRunner().invoke(quantize, words[2:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert read == [recipe]


def test_advice_needs_no_torch() -> None:
    code = (
        "import sys; from localfp4.quantize.planning import advice_words, advise, plan; "
        "assert not {'torch', 'triton'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
