"""Which versions of driver, CUDA, PyTorch and Triton go with each other and with which card.

Each table has its source beside it; all were read in 2026-11.
"""

import re
from dataclasses import dataclass

Cuda = tuple[int, int]
"""Version of CUDA, such as ``(13, 0)``."""

OLDEST_CAPABILITY = 80
"""Compute capability, times ten, that the kernels are written for: RTX 30 and newer."""

TORCH = ((2, 10), (2, 14))
"""Versions of PyTorch that localfp4 declares: from the first on, before the second."""

TRITON = ((3, 6), (3, 8))
"""The same of Triton, and of triton-windows."""

NEWEST_PYTHON = (3, 14)
"""That PyTorch has builds for (github.com/pytorch/pytorch/issues/172663)."""


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """Builds of PyTorch for a version of CUDA, on an index of PyTorch.

    Attributes:
        index: Last part of the index' address, such as ``cu130``.
        cuda: What they were built for.
        torch: Versions of PyTorch in it that localfp4 takes, from the first on, before the second.
        capabilities: The oldest and the newest compute capability, times ten, they have code for.
    """

    index: str
    cuda: Cuda
    torch: tuple[tuple[int, int], tuple[int, int]]
    capabilities: tuple[int, int]


# Matrices of github.com/pytorch/pytorch: issue 172663 (2.11), pull 182849 (2.12), pull 197555
# (2.13 as 2.12). Code for 12.0 runs on 12.1, for 8.6 on 8.9 (CUDA C++ Programming Guide, binary
# compatibility). cu132 is left out: no version of PyTorch here has it as more than experimental.
TORCH_BUILDS = (
    TorchBuild("cu130", (13, 0), TORCH, (75, 121)),
    TorchBuild("cu126", (12, 6), TORCH, (50, 90)),
    TorchBuild("cu128", (12, 8), ((2, 10), (2, 12)), (75, 121)),
)
"""The best first; the last is for RTX 50 with a driver for CUDA 12."""

# docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1: what was
# built for any CUDA 13 runs on a driver from 580 on, any CUDA 12 from 525 on.
OLDEST_DRIVER = {13: 580, 12: 525}
"""Major version of the driver that a major version of CUDA needs."""

# The release notes of CUDA 12.8, the first with Blackwell, list 570 as its driver.
OLDEST_BLACKWELL_DRIVER = 570

# 2.10: README of github.com/triton-lang/triton-windows. 2.12: github.com/pytorch/pytorch/pull/174896,
# the first with 3.7. 2.13: github.com/triton-lang/triton-windows/issues/42.
TRITON_OF_TORCH = {(2, 10): (3, 6), (2, 11): (3, 6), (2, 12): (3, 7), (2, 13): (3, 7)}
"""Each minor version of PyTorch is only guaranteed to work with one of Triton."""

# github.com/triton-lang/triton/issues/10331: ptxas-blackwell is 12.9.86 in Triton 3.6 and 13.1.80
# in 3.7; both have 12.8.93 for older cards.
BLACKWELL_ASSEMBLER = {(3, 6): (12, 9), (3, 7): (13, 1)}
"""CUDA version of the assembler that Triton brings along for Blackwell."""


def parsed(version: str) -> tuple[int, int]:
    """Return major and minor version of such as ``2.13.0+cu130``; zeros where there is none."""
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def cuda_of_driver(version: str) -> Cuda | None:
    """Return at least what CUDA a driver runs, by its version such as ``581.29``."""
    major = parsed(version)[0]
    runs = [cuda for cuda, oldest in OLDEST_DRIVER.items() if major >= oldest]
    return (max(runs), 0) if runs else None


def oldest_driver(cuda: Cuda, capability: int) -> int:
    """Return the major version of the oldest driver for a build of CUDA and a card."""
    driver = OLDEST_DRIVER.get(cuda[0], max(OLDEST_DRIVER.values()))
    return max(driver, OLDEST_BLACKWELL_DRIVER) if capability >= 100 else driver


def build_for(capability: int | None, driver_cuda: Cuda | None) -> TorchBuild:
    """Return the build of PyTorch for a card and a driver; the best where no driver runs one."""
    for build in TORCH_BUILDS:
        runs = driver_cuda is None or build.cuda[0] <= driver_cuda[0]
        oldest, newest = build.capabilities
        if runs and (capability is None or oldest <= capability <= newest):
            return build
    return TORCH_BUILDS[0]


def triton_of(build: TorchBuild) -> tuple[int, int]:
    """Return the minor version of Triton for the newest PyTorch of a build, which is installed."""
    major, minor = build.torch[1]
    return TRITON_OF_TORCH[major, minor - 1]


def is_usable(capability: int) -> bool:
    """Say whether kernels run on a card."""
    return capability >= OLDEST_CAPABILITY


def has_code_for(arch_list: tuple[str, ...], capability: int) -> bool:
    """Say whether builds with this machine code run on a card.

    Code for a capability runs on newer ones of the same major version, PTX (``compute_90``) on
    all newer ones; an ``a`` or ``f`` at the end binds it to one card or family (PTX ISA).
    """
    for arch in arch_list:
        found = re.fullmatch(r"(sm|compute)_(\d+)([af]?)", arch)
        if found is None:
            continue
        built = int(found[2])
        if built == capability:
            return True
        same_major = built // 10 == capability // 10
        if not found[3] and built < capability and (same_major or found[1] == "compute"):
            return True
    return False


def lies_in(version: tuple[int, int], versions: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    """Say whether a version is from the first on and before the second."""
    return versions[0] <= version < versions[1]


def dotted(version: tuple[int, int]) -> str:
    """Return such as ``13.0``."""
    return f"{version[0]}.{version[1]}"


def requirement(name: str, versions: tuple[tuple[int, int], tuple[int, int]]) -> str:
    """Return such as ``torch>=2.10,<2.14``."""
    return f"{name}>={dotted(versions[0])},<{dotted(versions[1])}"
