"""The wheel that users get, built from the tree."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import localfp4

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "localfp4": ROOT / "localfp4",
    "localfp4_kernels": ROOT / "kernels" / "localfp4_kernels",
    "localfp4_tui": ROOT / "tui" / "localfp4_tui",
    "localfp4_demo": ROOT / "assets" / "demo" / "localfp4_demo",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(target)]
    subprocess.run([*command, str(ROOT)], check=True)
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(built)


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_a_package(wheel: zipfile.ZipFile, package: str) -> None:
    packed = {name.partition("/")[2] for name in wheel.namelist() if name.startswith(f"{package}/")}
    assert packed == files_of(PACKAGES[package])


@pytest.mark.slow
def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"localfp4-{localfp4.__version__}.dist-info"}


@pytest.mark.slow
def test_the_wheel_is_typed_and_has_the_chats_style_and_the_demo(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for package in ("localfp4", "localfp4_kernels", "localfp4_tui"):
        assert f"{package}/py.typed" in names
    assert any(name.endswith(".tcss") for name in names)
    assert "localfp4_demo/config.json" in names
    weights = [wheel.getinfo(name) for name in names if name.endswith(".safetensors")]
    assert 0 < sum(info.file_size for info in weights) <= 8_000_000


def test_the_version_is_written_once() -> None:
    written = re.compile(rf"""version\s*[=:]\s*["']{re.escape(localfp4.__version__)}["']""")
    sources = [ROOT / "pyproject.toml", *(p for f in PACKAGES.values() for p in f.rglob("*.py"))]
    found = [path for path in sources if written.search(path.read_text(encoding="utf-8"))]
    assert found == []
    assert "__version__ = " in (ROOT / "localfp4" / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["kernels", "tui", "assets", "tests"])
def test_folders_of_the_tree_are_no_packages(name: str) -> None:
    """A top-level package named ``kernels`` would shadow Hugging Face's."""
    assert not (ROOT / name / "__init__.py").exists()
