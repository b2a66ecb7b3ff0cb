"""Folders by the paths that people paste, and what is said of those that are not there."""

import shutil
from pathlib import Path

import pytest

from localfp4.checkpoint.names import folders
from localfp4.checkpoint.names.folders import about_missing, folder_meant, is_path
from localfp4.errors import ModelNotFoundError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(fixtures / "m_qwen3", tmp_path / "shelf" / "my model")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shelf" / "my model"


@pytest.mark.parametrize(
    "name",
    [
        "shelf/my model",
        "shelf/my model/",
        "./shelf/my model",
        "shelf/../shelf/my model",
        "~/shelf/my model",
        "shelf/my model/config.json",
        "shelf/my model/model.safetensors",
    ],
)
def test_a_folder_goes_by_many_paths(name: str, model: Path) -> None:
    found = folder_meant(name)
    assert found is not None
    assert found.samefile(model)


def test_a_file_address_is_a_path(model: Path) -> None:
    assert folder_meant(model.as_uri()) == model


def test_only_files_of_a_model_mean_its_folder(model: Path) -> None:
    (model / "notes.pdf").touch()
    (model.parent / "alone.safetensors").touch()
    assert folder_meant("shelf/my model/notes.pdf") is None
    assert folder_meant("shelf/alone.safetensors") is None
    assert folder_meant("shelf/my model/absent.safetensors") is None
    assert folder_meant("m" * 5000) is None


def test_a_folder_of_the_cache_means_the_version_in_use(tmp_path: Path, fixtures: Path) -> None:
    repository = tmp_path / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "snapshots").mkdir()
    with pytest.raises(ModelNotFoundError, match="`localfp4 pull org/name` completes it"):
        folder_meant(str(repository))
    shutil.copytree(fixtures / "m_qwen3", repository / "snapshots" / COMMIT)
    for named in (repository, repository / "snapshots", repository / "snapshots" / COMMIT):
        assert folder_meant(str(named)) == repository / "snapshots" / COMMIT


@pytest.mark.parametrize(
    "name",
    ["/x", "./x", "../x", "~/x", "~you/x", ".", "C:\\x", "d:/x", "\\\\server\\x", "file:///x"],
)
def test_some_names_can_only_be_paths(name: str) -> None:
    assert is_path(name)


@pytest.mark.parametrize("name", ["org/name", "qwen3:8b", "x", "https://hf.co/org/name", "a\\b"])
def test_others_may_be_models(name: str) -> None:
    assert not is_path(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./shelf/my modle", "There is no folder ./shelf/my modle. Did you mean shelf/my model?"),
        ("~/gone/model", "There is no folder ~/gone/model: there is no {home}/gone."),
        ("./shelf/other", "There is no folder ./shelf/other."),
        ("C:\\models\\x", "C:\\models\\x is a path of Windows; this computer runs Linux."),
        ("\\\\nas\\models\\x", "\\\\nas\\models\\x is a path of Windows; this computer runs Linux."),
        ("\\\\wsl$\\Ubuntu{home}\\shelf", "\\\\wsl$\\Ubuntu{home}\\shelf is a path of Windows; "
         "did you mean {home}/shelf?"),
    ],
)  # fmt: skip
def test_what_was_probably_meant_is_told(name: str, sentence: str, model: Path) -> None:
    home = str(model.parents[1])
    assert about_missing(name.format(home=home)) == sentence.format(home=home)


def test_a_path_of_linux_is_told_apart_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "IS_WINDOWS", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C:" / "models").mkdir(parents=True)
    assert about_missing("/mnt/c/models").endswith("is a path of Linux; did you mean C:/models?")
    assert about_missing("/home/me/models").endswith("path of Linux; this computer runs Windows.")
