import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localfp4.checkpoint.hub import (
    download,
    find,
    locate,
    recognise,
    resolve,
)
from localfp4.checkpoint.names.guesses import hint_on_repository
from localfp4.checkpoint.store.snapshot import HubModel
from localfp4.errors import ModelNotFoundError, UnsupportedModelError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty."""
    import huggingface_hub.constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


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
        "org/..",
        "org/model@../../main",
        "org/model@/etc",
        "org/model@",
        "org/mo--del",
        "org\\model",
        "org/mo%2e%2edel",
        "qwen3:8b@../../main",
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


@pytest.mark.parametrize(
    "model",
    ["/no/such/folder", "../../no/such/place", "../model", "~nobody-of-that-name/model", "C:\\x"],
)
def test_a_path_that_leads_nowhere_is_told_as_a_path(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"There is no folder|is a path of Windows"):
        resolve(model)


@pytest.mark.parametrize("model", ["", "  ", '""', "org/model\0", "\0", "\u200b"])
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
    ("typed", "name", "repo_id", "revision"),
    [
        ("qwen3:8b", "qwen3:8b", "nvidia/Qwen3-8B-NVFP4", None),
        (" “Qwen3\u20138B” ", "qwen3:8b", "nvidia/Qwen3-8B-NVFP4", None),
        ("qwen3", "qwen3:8b", "nvidia/Qwen3-8B-NVFP4", None),
        ("qwen3:8b@v1", "qwen3:8b@v1", "nvidia/Qwen3-8B-NVFP4", "v1"),
        ("'org/model'", "org/model", "org/model", None),
        ("org/model/", "org/model", "org/model", None),
        ("org/model@v1", "org/model@v1", "org/model", "v1"),
        ("hf.co/org/model", "org/model", "org/model", None),
        ("https://huggingface.co/org/model/tree/v1", "org/model@v1", "org/model", "v1"),
        ("https://huggingface.co/o/m/blob/main/a.safetensors", "o/m", "o/m", None),
        ("models--org--model", "org/model", "org/model", None),
    ],
)
def test_a_repository_goes_by_many_names(
    typed: str, name: str, repo_id: str, revision: str | None
) -> None:
    recognised = recognise(typed)
    assert recognised.name == name
    assert recognised.found == HubModel(repo_id, revision)
    assert locate(name) == recognised.found


def test_a_mirror_is_asked_by_its_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert locate("https://mirror.example/org/model") == HubModel("org/model")
    with pytest.raises(ModelNotFoundError, match=r"no address on https://mirror\.example"):
        locate("https://other.example/org/model")


def test_a_folder_keeps_its_name_unless_something_in_it_was_named(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("demo", "qwen3:8b"):
        shutil.copytree(fixtures / "m_qwen3", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert recognise("./demo").name == "./demo"
    assert recognise('"./demo"').name == "./demo"
    assert recognise("demo/config.json").name == str(tmp_path / "demo")
    assert recognise("Demo").name == "demo"
    (tmp_path / "Demo").mkdir()
    assert recognise("Demo").name == "Demo"
    assert locate("qwen3:8b") == Path("qwen3:8b")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("org\\model", "Did you mean org/model?"),
        ("dmeo", "Did you mean demo?"),
        ("my-lama", "Did you mean my-llama?"),
        ("modell-of-mine", "Did you mean org/model-of-mine?"),
        ("org/modell of-mine", "Did you mean org/model-of-mine?"),
        ("ollama/qwen3:8b", "Did you mean qwen3:8b?"),
        ("olmo3:700b-quite-else", "Of olmo3 there are olmo3:7b."),
        ("nonsense", "Try demo, the bundled model."),
    ],
)
def test_what_was_probably_meant_is_told(typed: str, hint: str, cache: Path) -> None:
    (cache / "models--org--model-of-mine").mkdir(parents=True)
    with pytest.raises(ModelNotFoundError) as error:
        recognise(typed, own=["my-llama"])
    assert str(error.value).endswith(f"org/name. {hint}")


def test_near_misses_of_a_repository_are_what_is_here_or_known(cache: Path) -> None:
    (cache / "models--org--model-of-mine").mkdir(parents=True)
    assert hint_on_repository("org/modle-of-mine") == " Did you mean org/model-of-mine?"
    assert hint_on_repository("nvidia/Qwen3-8B-NVPF4") == " Did you mean qwen3:8b?"
    assert hint_on_repository("org/model-of-mine") == ""


def test_what_is_not_here_is_pulled() -> None:
    with pytest.raises(ModelNotFoundError, match="`localfp4 pull org/model@v1` downloads it"):
        find("org/model@v1")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.gguf", "not GGUF; name the hub id"),
        ("model.Q4_K_M.GGUF", "not GGUF"),
        ("org/model.gguf", "not GGUF"),
        ("C:\\models\\Qwen3-8B-Q4_K_M.gguf", r"take qwen3:8b \(nvidia/Qwen3-8B-NVFP4\) instead"),
        ("https://hf.co/o/m-GGUF/resolve/main/Qwen3-8B-Q4_K_M.gguf", "take qwen3:8b"),
        ("pytorch_model.bin", "does not load pickles"),
        ("consolidated.00.pth", "does not load pickles"),
        ("model.safetensors", "name the folder that holds it"),
        ("./model.safetensors", "name the folder that holds it"),
        ("org/model.safetensors", "name the folder that holds it"),
        ("unsloth/Qwen3-8B-GGUF", "holds GGUF files by its name, .* take qwen3:8b"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "holds GGUF files .* take qwen3:8b"),
        ("mlx-community/Qwen3-8B-4bit", "holds MLX files .* take qwen3:8b"),
        ("org/Llama-3.1-8B-Instruct-exl2", "holds EXL2 files .* take llama3.1:8b"),
        ("unsloth/Qwen3-14B-unsloth-bnb-4bit", "holds bitsandbytes files .* take qwen3:14b"),
        ("org/new-model-GGUF", "holds GGUF files .* name the hub id of the model itself"),
    ],
)
def test_weights_that_cannot_be_read_are_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(UnsupportedModelError, match=advice):
        resolve(name)


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-8B-AWQ", "org/model-GPTQ-Int4", "org/bnbank", "org/mlxtend"]
)
def test_formats_that_are_read_are_not_refused(name: str) -> None:
    assert locate(name) == HubModel(name)


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
