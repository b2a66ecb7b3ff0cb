"""The table of cards against figures that NVIDIA published, and the names people type."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4.telemetry.cards import CARDS, card_named, card_of_device, link_bytes_per_s

GIB = 2**30


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("4070", "GeForce RTX 4070"),
        ("rtx 4070 ti super", "GeForce RTX 4070 Ti SUPER"),
        ("RTX4090", "GeForce RTX 4090"),
        ("4070ti", "GeForce RTX 4070 Ti"),
        ("NVIDIA GeForce RTX 4070", "GeForce RTX 4070"),
        ("4060 ti 16gb", "GeForce RTX 4060 Ti 16GB"),
        ("4090 laptop", "GeForce RTX 4090 Laptop GPU"),
        ("5090", "GeForce RTX 5090"),
        ("pro 6000", "RTX PRO 6000 Blackwell"),
        ("h200", "H200"),
        ("A100", "A100 40GB"),
        ("gb10", "GB10"),
    ],
)
def test_names_people_type(typed: str, name: str) -> None:
    assert card_named(typed).name == name


@pytest.mark.parametrize(
    ("typed", "hint"), [("4700", "GeForce RTX 4070"), ("rtx 5095", "GeForce RTX 5090")]
)
def test_a_slip_is_answered_with_near_misses(typed: str, hint: str) -> None:
    with pytest.raises(RequestError, match=f"No graphics card '{typed}' is known.*{hint}"):
        card_named(typed)


@pytest.mark.parametrize("typed", ["", "  ", "nvidia", "radeon rx", "🐢"])
def test_what_is_no_card_gets_the_list(typed: str) -> None:
    with pytest.raises(RequestError, match="RTX 4070 Ti SUPER"):
        card_named(typed)


@given(st.text(max_size=30))
def test_any_text_is_a_card_or_a_sentence(text: str) -> None:
    with suppress(RequestError):
        assert card_named(text) in CARDS


@pytest.mark.parametrize(
    ("device", "gib", "name"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", 8, "GeForce RTX 4060 Ti"),
        ("NVIDIA GeForce RTX 4060 Ti", 16, "GeForce RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 3080", 12, "GeForce RTX 3080 12GB"),
        ("NVIDIA GeForce RTX 4090", 23.99, "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16, "GeForce RTX 4090 Laptop GPU"),
        ("NVIDIA A100-SXM4-80GB", 79.3, "A100 80GB"),
        ("NVIDIA A100-PCIE-40GB", 39.4, "A100 40GB"),
        ("NVIDIA H100 80GB HBM3", 79.6, "H100 80GB HBM3"),
        ("NVIDIA H100 PCIe", 79.6, "H100 PCIe"),
        ("NVIDIA H200", 140.4, "H200"),
        (
            "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
            95.6,
            "RTX PRO 6000 Blackwell",
        ),
    ],
)
def test_names_of_drivers(device: str, gib: float, name: str) -> None:
    found = card_of_device(device, int(gib * GIB))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("device", "gib"),
    [
        ("NVIDIA GeForce GTX 1080", 8),
        ("NVIDIA GeForce RTX 4090", 48),
        ("NVIDIA GeForce RTX 3070 Laptop GPU", 8),
        ("Quadro RTX 8000", 48),
    ],
)
def test_a_card_that_is_not_in_the_table_is_not_taken_for_another(device: str, gib: float) -> None:
    assert card_of_device(device, int(gib * GIB)) is None


@pytest.mark.parametrize(
    ("name", "fp16", "fp8", "fp4"),
    [
        ("3090", 71, None, None),
        ("4090", 165.2, 330.3, None),
        ("5090", 209.5, 419, 1676),
        ("5080", 112.6, 225.1, 900.4),
    ],
)
def test_peaks_of_the_white_papers(
    name: str, fp16: float, fp8: float | None, fp4: float | None
) -> None:
    card = card_named(name)
    assert card.fp16_tflops == pytest.approx(fp16, rel=0.005)
    for found, wanted in ((card.fp8_tflops, fp8), (card.fp4_tflops, fp4)):
        assert found == (None if wanted is None else pytest.approx(wanted, rel=0.005))


def test_links() -> None:
    assert link_bytes_per_s(3, 16) == pytest.approx(15.75e9, rel=1e-3)
    assert link_bytes_per_s(4, 16) == pytest.approx(31.5e9, rel=1e-3)
    assert card_named("5060 ti").link == pytest.approx(31.5e9, rel=1e-3), "5.0 x8 is 4.0 x16"
    assert card_named("gb10").link is None, "one memory for both"


def test_the_table_is_consistent() -> None:
    assert len({card.name for card in CARDS}) == len(CARDS)
    for card in CARDS:
        assert card_named(card.name) is card
        assert card.memory_gib < 150
        assert (card.fp8_tflops is None) == (card.fp16_tflops is None or card.capability < 89)
