"""Makes the recipe of the demo model importable; it is no installed package."""

import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
sys.path.insert(0, str(DEMO))

from recipe.facts import Fact, load_facts  # noqa: E402


@pytest.fixture(scope="session")
def demo_assets() -> Path:
    """The folder of the recipe, the facts and both checkpoints."""
    return DEMO


@pytest.fixture(scope="session")
def facts() -> list[Fact]:
    return load_facts()
