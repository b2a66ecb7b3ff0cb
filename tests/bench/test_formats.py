"""Which engine runs a format: hand-written answers for every kind of model, on every card."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from localfp4.bench.planning.formats import (
    FORMATS,
    Instead,
    Runs,
    Stored,
    Unsupported,
    entry,
    stored_as,
)
from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.errors import RequestError
from localfp4_kernels.dispatch import Kind, Phase, Precision, Product, choose
from localfp4_kernels.target import CAPABILITIES, Target

PLAIN = Stored("BF16")
NVFP4 = Stored("NVFP4 W4A16", "nvfp4", frozenset({Product(Kind.NVFP4, Phase.PREFILL, 1024)}))
CONFIG = EngineConfig("some/model", max_batch=3)

NO_FP4 = "sm_89 has no FP4 tensor cores (RTX 50 and newer have)"
NO_FP8 = "sm_86 has no FP8 tensor cores (RTX 40 and newer have)"


def card(capability: int) -> Target:
    return Target(capability, multiprocessors=1)


@pytest.mark.parametrize(
    ("form", "rounding", "precision"),
    [
        ("bf16", None, "bf16"),
        ("fp8", "fp8", "auto"),
        ("w4a16", "nvfp4", "w4a16"),
        ("w4a8", "nvfp4", "w4a8"),
        ("w4a4", "nvfp4", "w4a4"),
        ("mxfp4", "mxfp4", "auto"),
        ("int4", "int4", "auto"),
        ("auto", None, "auto"),
    ],
)
def test_the_newest_card_runs_every_format_of_a_16_bit_model(
    form: str, rounding: str | None, precision: str
) -> None:
    asked = replace(CONFIG, precision="w4a8", rounding="int4")
    expected = replace(CONFIG, precision=precision, rounding=rounding)
    assert entry(PLAIN, form, asked, card(120)) == Runs(expected)


@pytest.mark.parametrize(
    ("capability", "form", "instead", "reason"),
    [
        (89, "w4a4", "w4a8", NO_FP4),
        (86, "w4a4", "w4a16", NO_FP4.replace("89", "86")),
        (86, "w4a8", "w4a16", NO_FP8),
        (121, "w4a4", "w4a16", "Triton 3.7 cannot multiply FP4 on sm_121; 3.8 can"),
    ],
)
@pytest.mark.parametrize("stored", [PLAIN, NVFP4])
def test_the_next_wider_activations_run_in_place_of_what_a_card_lacks(
    stored: Stored, capability: int, form: str, instead: str, reason: str
) -> None:
    found = entry(stored, form, CONFIG, card(capability))
    assert isinstance(found, Instead)
    assert (found.format, found.reason) == (instead, reason)
    assert found.config.precision == instead
    assert found.config.rounding == (None if stored.rounding else "nvfp4")
    assert entry(stored, instead, CONFIG, card(capability)) == Runs(found.config)


def test_the_version_of_triton_counts() -> None:
    assert isinstance(entry(PLAIN, "w4a4", CONFIG, card(121), triton=(3, 8)), Runs)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("form", ["w4a16", "w4a8", "w4a4"])
def test_what_runs_is_what_the_kernels_accept(capability: int, form: str) -> None:
    found = entry(PLAIN, form, CONFIG, card(capability))
    assert not isinstance(found, Unsupported)
    for phase in Phase:
        product = Product(Kind.NVFP4, phase, 64, columns=4096)
        choose(product, card(capability), Precision(found.config.precision))


@pytest.mark.parametrize("form", FORMATS)
def test_plain_torch_has_no_narrow_activations(form: str) -> None:
    """On a CPU, or on a card with ``--kernels torch``."""
    words = "without kernels, as on a CPU, weights are expanded and activations stay at 16 bits or"
    on_cpu = entry(PLAIN, form, CONFIG, None)
    without_kernels = entry(PLAIN, form, replace(CONFIG, kernels="torch"), card(120))
    if form in ("w4a8", "w4a4"):
        assert isinstance(on_cpu, Instead)
        assert on_cpu.format == "w4a16"
        assert on_cpu.reason.startswith(words)
    else:
        assert isinstance(on_cpu, Runs)
        assert (words[1:] in on_cpu.note) == (form != "bf16")
    assert type(without_kernels) is type(on_cpu)
    interpreted = entry(PLAIN, form, replace(CONFIG, kernels="triton"), None)
    assert isinstance(interpreted, Runs)
    assert interpreted.note == ""


def test_8_bit_weights_without_8_bit_products_are_told() -> None:
    found = entry(PLAIN, "fp8", CONFIG, card(86))
    assert isinstance(found, Runs)
    assert found.note == f"Prompts are multiplied with 16-bit activations: {NO_FP8}."


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("ct_qwen3_NVFP4A16", {"w4a16", "w4a8", "w4a4"}),
        ("ct_qwen3_MXFP4", {"mxfp4"}),
        ("mo_gpt_oss_MXFP4", {"mxfp4"}),
        ("mo_gpt_oss_NVFP4", {"w4a16", "w4a8", "w4a4"}),
        ("ct_FP8_BLOCK", {"fp8"}),
        ("awq", {"int4"}),
        ("m_qwen3", set(FORMATS) - {"bf16"}),
    ],
)
def test_a_quantised_model_runs_as_it_is_or_expanded(
    fixtures: Path, name: str, forms: set[str]
) -> None:
    stored = stored_as(find(str(fixtures / name)))
    for form in FORMATS:
        found = entry(stored, form, CONFIG, card(120))
        assert isinstance(found, Runs) == (form == "bf16" or form in forms)
        if isinstance(found, Runs):
            assert (found.config.rounding is None) == (form == "bf16" or name != "m_qwen3")
        else:
            assert isinstance(found, Unsupported)
            assert found.reason == (
                f"some/model is stored as {stored.words}; formats are made from a 16-bit model: "
                "name its original."
            )


def test_a_format_that_no_column_fits_is_refused(fixtures: Path) -> None:
    stored = stored_as(fixtures / "m_qwen3_160")
    found = entry(stored, "int4", CONFIG, None)
    assert isinstance(found, Unsupported)
    assert re.fullmatch(
        r"Nothing in \S+ can be rounded to int4, .*; choose another format\.", found.reason
    )
    assert isinstance(entry(stored, "mxfp4", CONFIG, None), Runs)


def test_expanding_is_told() -> None:
    found = entry(NVFP4, "bf16", CONFIG, card(89))
    note = "The weights are stored as NVFP4 W4A16 and expanded to 16 bits."
    assert found == Runs(replace(CONFIG, precision="bf16"), note)


def test_widths_of_a_mix_are_those_that_all_of_it_runs() -> None:
    mix = stored_as(find("synthetic:qwen3.6-27b:4"))
    assert (mix.words, mix.rounding) == ("NVFP4 W4A16, FP8 per tensor", "nvfp4")
    found = entry(mix, "w4a4", CONFIG, card(86))
    assert isinstance(found, Instead)
    assert found.reason == NO_FP4.replace("89", "86")


def test_groups_of_32_have_no_products_in_4_bits(fixtures: Path) -> None:
    found = entry(stored_as(fixtures / "mo_W4A8_NVFP4_FP8"), "w4a4", CONFIG, card(120))
    assert isinstance(found, Instead)
    assert found.format == "w4a8"
    assert "these are of 32" in found.reason


def test_a_format_that_there_is_not_is_one_sentence() -> None:
    with pytest.raises(RequestError, match=r"^There is no format 'q4'; there are bf16, fp8, w4a16"):
        entry(PLAIN, "q4", CONFIG, None)
