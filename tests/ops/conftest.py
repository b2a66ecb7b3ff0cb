"""Kernels are tested on the GPU where there is one (``-m gpu``), else in Triton's interpreter."""

import pytest
import torch

from localfp4_kernels.device import target_of
from localfp4_kernels.target import Target


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With a GPU, tests that use ``device`` are for ``-m gpu``: there is no interpreter then."""
    if torch.cuda.is_available():
        for item in items:
            if "device" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run in this session."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def target(device: torch.device) -> Target:
    """What kernels are planned for in this session."""
    return target_of(device)
