"""Sizes of quantised models before they are made, against published and written files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.models.opened import open_model
from localfp4.quantize.export.layouts import linear_tensors
from localfp4.quantize.planning.sites import quantised_sites
from localfp4.quantize.planning.size import model_size
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import QuantisedSite
from localfp4.quantize.rounding.codes import GlobalScale, Nvfp4Codes
from tests.quantize.planning.models import published

DEMO = Path(__file__).parents[3] / "assets" / "demo"

QWEN3_8B_NVFP4 = 6_396_932_352
"""Bytes of the weights in nvidia/Qwen3-8B-NVFP4, by the hub's list of its files."""


def test_a_published_export_has_that_size() -> None:
    size = model_size(published("qwen3-8b"), Recipe())
    # Theirs has scales of inputs, too, and headers.
    assert abs(size.total - QWEN3_8B_NVFP4) < QWEN3_8B_NVFP4 / 1000
    assert size.total_before == pytest.approx(2 * 8_190_735_360, rel=1e-6)


def test_the_shipped_demo_has_that_size() -> None:
    size = model_size(open_model(DEMO / "bf16"), Recipe())
    shipped = open_checkpoint(DEMO / "localfp4_demo").total_bytes
    assert abs(size.total - shipped) < 4096
    assert size.total_before == open_checkpoint(DEMO / "bf16").total_bytes


@pytest.mark.parametrize(
    ("form", "bits"), [("nvfp4", 4 + 8 / 16), ("mxfp4", 4 + 8 / 32), ("fp8", 8 + 32 / 4096)]
)
def test_formats_take_their_bits(form: str, bits: float) -> None:
    opened = published("llama3.1-8b")
    sites = quantised_sites(opened, Recipe())
    weights = sum(site.weights for site in sites)
    formats = {name: form for site in sites for name in site.prefixes}
    size = model_size(opened, Recipe(), formats)  # type: ignore[arg-type]
    assert size.quantised * 8 / weights == pytest.approx(bits, rel=2e-3)
    untouched = model_size(opened, Recipe(), dict.fromkeys(formats))
    assert untouched.total == untouched.total_before


def test_mixed_precision_uses_its_size_up() -> None:
    opened = published("qwen3-8b")
    assert model_size(opened, Recipe(target_bytes=9 * 10**9)).total == 9 * 10**9
    whole = model_size(opened, Recipe(target_bytes=10**12))
    assert whole.total == whole.total_before
    assert model_size(opened, Recipe(target_bytes=1)) == model_size(opened, Recipe())


@pytest.mark.parametrize("block", [16, 32, 64])
def test_rotations_are_written_beside_each_linear(block: int) -> None:
    opened = open_model(DEMO / "bf16")
    recipe = Recipe(method="mr-gptq", export="fp-quant")
    sites = quantised_sites(opened, recipe)
    codes = Nvfp4Codes(
        torch.zeros(1, 8, dtype=torch.uint8),
        torch.zeros(1, 1).to(torch.float8_e4m3fn),
        GlobalScale(torch.ones(()), divides=True),
    )
    one = QuantisedSite(next(iter(sites)), codes, rotation=block)
    tensors = linear_tensors(one, 0, 1, "fp-quant", "w4a16")
    matrices = sum(t.nbytes for name, t in tensors.items() if "hadamard" in name)
    linears = sum(len(site.prefixes) for site in sites)
    more = (
        model_size(opened, replace(recipe, rotation=block)).total - model_size(opened, recipe).total
    )
    assert more == linears * matrices > 0


def test_what_is_kept_is_not_counted_as_quantised() -> None:
    opened = published("qwen3-8b")
    usual, all_of_it = model_size(opened, Recipe()), model_size(opened, Recipe(keep=()))
    head = 151_936 * 4096
    assert all_of_it.original - usual.original == 2 * head
    assert usual.total - all_of_it.total == pytest.approx(head * (2 - 9 / 16), rel=1e-6)


def test_experts_are_sites_of_their_own() -> None:
    layers = quantised_sites(published("qwen3-30b-a3b:2"), Recipe()).layers
    assert len(layers) == 3
    assert layers[2] == ()
    experts = [site for site in layers[1] if site.expert is not None]
    assert len(experts) == 2 * 128
    assert {site.expert for site in experts} == set(range(128))
    merged = next(site for site in layers[1] if len(site.prefixes) == 3)
    assert sorted(merged.prefixes) == [
        f"model.layers.1.self_attn.{part}_proj" for part in ("k", "q", "v")
    ]
    assert (sum(merged.rows), merged.columns) == (4096 + 2 * 512, 2048)
