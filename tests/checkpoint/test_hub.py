import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localfp4.checkpoint.hub import download, resolve
from localfp4.errors import ModelNotFoundError, UnsupportedModelError


def folder(model: str) -> Path:
    found = resolve(model)
    assert isinstance(found, Path)
    return found


def test_a_folder_is_itself(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(str(fixtures / "m_qwen3")) == fixtures / "m_qwen3"
    monkeypatch.chdir(fixtures)
    assert folder("m_qwen3").samefile(fixtures / "m_qwen3")
    assert folder("../checkpoints/m_qwen3").samefile(fixtures / "m_qwen3")
    assert list(download("m_qwen3")) == []


def test_a_folder_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert folder("org/model").samefile(tmp_path / "org" / "model")


@pytest.mark.parametrize(
    "model",
    [
        "nowhere",
        "a/b/c",
        "/no/such/folder",
        "../../no/such/place",
        "org/..",
        "../model",
        "org/model@../../main",
        "org/model@/etc",
        "org/model@",
        "org/mo--del",
        "~nobody-of-that-name/model",
        "org\\model",
        "org/mo%2e%2edel",
        "https://huggingface.co/org/model",
        "C:\\models\\x",
        "org/" + "m" * 200,
        "m" * 5000,
        "org/mod el",
        "ørg/model",
        "\x1b]0;title\x07/model",
    ],
)
def test_names_that_are_neither_folders_nor_ids_are_refused(model: str) -> None:
    with pytest.raises(
        ModelNotFoundError, match="no such folder, and model ids look like"
    ) as error:
        resolve(model)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("model", ["", "  ", "org/model\0", "\0"])
def test_an_empty_name_is_refused(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="No model was named; try demo, the bundled model"):
        resolve(model)


def test_a_folder_of_a_similar_name_is_suggested(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fixtures)
    with pytest.raises(ModelNotFoundError, match=r"Did you mean m_qwen3_moe\?"):
        resolve("m_qwen3_mo")
    with pytest.raises(ModelNotFoundError, match=r"Did you mean .*ct_qwen3_NVFP4A16\?"):
        resolve(str(fixtures / "ct_qwen3_NVFP4A61"))
    with pytest.raises(ModelNotFoundError, match=r"Did you mean demo\?"):
        resolve("dmeo")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.gguf", "not GGUF"),
        ("model.Q4_K_M.GGUF", "not GGUF"),
        ("org/model.gguf", "not GGUF"),
        ("pytorch_model.bin", "does not load pickles"),
        ("consolidated.00.pth", "does not load pickles"),
        ("model.safetensors", "name the folder that holds it"),
    ],
)
def test_weight_files_are_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(UnsupportedModelError, match=advice):
        resolve(name)


def test_the_demo_is_found_as_an_installed_package(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(fixtures / "m_qwen3", tmp_path / "localfp4_demo")
    (tmp_path / "localfp4_demo" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert folder("demo").samefile(tmp_path / "localfp4_demo")


def test_names_are_resolved_without_torch_or_the_hub_library(fixtures: Path) -> None:
    code = (
        "import sys; from localfp4.checkpoint.hub import resolve; resolve(sys.argv[1]);"
        "import localfp4.checkpoint.kinds;"
        "print([m for m in ('torch', 'numpy', 'huggingface_hub', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(fixtures / "m_qwen3")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
