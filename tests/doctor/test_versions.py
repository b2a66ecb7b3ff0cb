"""The tables of versions, and what follows from them."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from localfp4.doctor.versions import (
    BLACKWELL_ASSEMBLER,
    OLDEST_CAPABILITY,
    TORCH,
    TORCH_BUILDS,
    TRITON,
    TRITON_OF_TORCH,
    build_for,
    cuda_of_driver,
    has_code_for,
    lies_in,
    parsed,
    requirement,
    triton_of,
)
from localfp4_kernels.target import CAPABILITIES

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_versions_are_those_that_the_package_declares() -> None:
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = {Requirement(one).name: Requirement(one).specifier for one in declared}
    assert found["torch"] == Requirement(requirement("torch", TORCH)).specifier
    for name in ("triton", "triton-windows"):
        assert found[name] == Requirement(requirement(name, TRITON)).specifier
    assert min(CAPABILITIES) == OLDEST_CAPABILITY


def test_every_version_of_torch_has_its_triton_and_every_triton_its_assembler() -> None:
    minors = [(2, minor) for minor in range(TORCH[0][1], TORCH[1][1])]
    assert list(TRITON_OF_TORCH) == minors
    for minor in minors:
        assert lies_in(TRITON_OF_TORCH[minor], TRITON)
        assert TRITON_OF_TORCH[minor] in BLACKWELL_ASSEMBLER


@pytest.mark.parametrize(
    ("capability", "driver", "index"),
    [
        (120, (13, 0), "cu130"),
        (120, (13, 2), "cu130"),
        (120, (12, 8), "cu128"),
        (89, (12, 4), "cu126"),
        (86, (13, 0), "cu130"),
        (86, None, "cu130"),
        (None, None, "cu130"),
        (89, (11, 4), "cu130"),  # no build runs: the driver has to be renewed first
    ],
)
def test_build_for_card_and_driver(
    capability: int | None, driver: tuple[int, int] | None, index: str
) -> None:
    assert build_for(capability, driver).index == index


def test_every_card_of_the_kernels_has_a_build_for_every_driver_that_runs_one() -> None:
    for capability in CAPABILITIES:
        for driver in ((12, 8), (13, 0)):
            build = build_for(capability, driver)
            assert build.cuda[0] <= driver[0]
            assert build.capabilities[0] <= capability <= build.capabilities[1]
            minors = [one for one in TRITON_OF_TORCH if lies_in(one, build.torch)]
            assert triton_of(build) == TRITON_OF_TORCH[max(minors)]
    assert len({build.index for build in TORCH_BUILDS}) == len(TORCH_BUILDS)


@pytest.mark.parametrize(
    ("arch_list", "capability", "runs"),
    [
        (("sm_80", "sm_86", "sm_90"), 89, True),  # of the same major version, older
        (("sm_80", "sm_90"), 120, False),
        (("sm_90", "compute_90"), 120, True),  # PTX
        (("sm_120",), 121, True),
        (("sm_121",), 120, False),
        (("sm_90a",), 90, True),
        (("sm_100a", "sm_100f"), 103, False),
        (("gfx1100",), 89, False),
        ((), 89, False),
    ],
)
def test_code_for_a_card(arch_list: tuple[str, ...], capability: int, runs: bool) -> None:
    assert has_code_for(arch_list, capability) == runs


@pytest.mark.parametrize(
    ("version", "cuda"),
    [("581.29", (13, 0)), ("580.65.06", (13, 0)), ("572.83", (12, 0)), ("470.256.02", None)],
)
def test_cuda_of_driver(version: str, cuda: tuple[int, int] | None) -> None:
    assert cuda_of_driver(version) == cuda


def test_versions_that_are_none() -> None:
    assert parsed("2.13.0+cu130") == (2, 13)
    assert parsed("3") == (3, 0)
    assert parsed("nightly") == (0, 0)
