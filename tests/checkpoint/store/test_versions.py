"""Which versions of a repository are whole, and how far a download came, by names and sizes."""

import json
from pathlib import Path

import pytest

from localfp4.checkpoint.store.cache import model_at, repository
from localfp4.checkpoint.store.versions import Begun, begun, others_weights, whole_versions
from tests.checkpoint.store.cached import FIRST, SECOND, put, put_part, store_of, use_cache

ONE_FILE = {"config.json": b"{}", "model.safetensors": b"w" * 1000}


def shards(*present: int, of: int = 2, total: int = 2000) -> dict[str, bytes]:
    """A model in several files of 1000 bytes, of which some are there."""
    index = {
        "metadata": {"total_size": total},
        "weight_map": {f"w{n}": f"model-{n}.safetensors" for n in range(of)},
    }
    files = {f"model-{n}.safetensors": bytes([n]) * 1000 for n in present}
    return {
        "config.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        **files,
    }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_cache(tmp_path / "hub", monkeypatch)


def names(repo_id: str) -> list[str]:
    return [version.name for version in whole_versions(repository(repo_id))]


@pytest.mark.parametrize("links", [True, False])
def test_versions_are_called_by_their_branch_or_commit_and_main_by_nothing(
    cache: Path, links: bool
) -> None:
    put(cache, "org/m", ONE_FILE, links=links)
    put(cache, "org/m", ONE_FILE, commit=SECOND, refs=(), links=links)
    put(cache, "org/m", ONE_FILE, commit="3" * 40, refs=("v2",), links=links)
    assert names("org/m")[0] == "org/m"
    assert {*names("org/m")[1:]} == {f"org/m@{SECOND}", "org/m@v2"}
    assert names("org/unheard-of") == []


def test_a_version_without_a_weight_or_with_an_empty_one_is_not_whole(cache: Path) -> None:
    put(cache, "org/lacks", shards(0))
    put(cache, "org/empty", {"config.json": b"{}", "model.safetensors": b""})
    broken = put(cache, "org/broken", ONE_FILE)
    (broken / "model.safetensors").resolve().unlink()
    assert [*names("org/lacks"), *names("org/empty"), *names("org/broken")] == []


def test_parts_without_the_index_of_them_are_not_whole(cache: Path) -> None:
    part = {"config.json": b"{}", "model-00001-of-00012.safetensors": b"w"}
    put(cache, "org/part", part)
    put(cache, "org/all", {"config.json": b"{}", "model-00001-of-00001.safetensors": b"w"})
    assert [*names("org/part"), *names("org/all")] == ["org/all"]


def test_a_ref_that_is_being_written_is_none_yet(cache: Path) -> None:
    put(cache, "org/m", ONE_FILE, refs=("v1", "main.4711.tmp"))
    assert repository("org/m").refs() == {"v1": FIRST}


def test_a_broken_off_download_is_as_far_as_its_weights_are_here(cache: Path) -> None:
    put(cache, "org/m", shards(0))
    put_part(cache, "org/m", 300)
    put_part(cache, "org/m", 900, random=".1f2e3d4c")  # which nobody goes on with
    assert begun(repository("org/m")) == Begun(1300, 2000)
    (store_of(cache, "org/m") / "blobs" / "e").write_bytes(bytes(50))  # arrived, not linked yet
    assert begun(repository("org/m")) == Begun(1350, 2000)


def test_without_an_index_nobody_knows_how_much_is_to_come(cache: Path) -> None:
    put_part(cache, "org/m", 300)
    assert begun(repository("org/m")) == Begun(300, None)


def test_of_a_newer_version_only_what_is_unfinished_counts(cache: Path) -> None:
    put(cache, "org/m", ONE_FILE)
    assert begun(repository("org/m")) is None
    put_part(cache, "org/m", 300)
    assert begun(repository("org/m")) == Begun(300, None)


@pytest.mark.parametrize("total", ["many", -1, True, 1e300, None])
def test_an_index_that_promises_nonsense_promises_nothing(cache: Path, total: object) -> None:
    files = shards(0)
    index = json.loads(files["model.safetensors.index.json"])
    index["metadata"] = {"total_size": total}
    put(cache, "org/m", {**files, "model.safetensors.index.json": json.dumps(index).encode()})
    found = begun(repository("org/m"))
    assert found is not None
    assert found.present_bytes == 1000
    assert found.whole_bytes in (None, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("m.Q4_K_M.gguf", "GGUF"), ("pytorch_model.bin", "pickles"), ("onnx/model.onnx", "ONNX")],
)
def test_what_is_of_other_programs_is_no_download_of_ours(
    cache: Path, name: str, words: str
) -> None:
    snapshot = put(cache, "org/m", {"config.json": b"{}"})
    (snapshot / name).parent.mkdir(exist_ok=True)
    (snapshot / name).write_bytes(bytes(100))
    (store_of(cache, "org/m") / "blobs" / "e").write_bytes(bytes(50))
    assert begun(repository("org/m")) is None
    assert words in others_weights(repository("org/m"))


def test_small_files_alone_are_no_download(cache: Path) -> None:
    put(cache, "org/m", {"config.json": b"{}", "tokenizer.json": b"{}"})
    put(cache, "org/outlined", shards())
    assert begun(repository("org/m")) is None
    assert begun(repository("org/outlined")) is None
    assert others_weights(repository("org/m")) == ""


def test_a_folder_inside_the_cache_is_of_a_repository(cache: Path, tmp_path: Path) -> None:
    snapshot = put(cache, "org/m", ONE_FILE)
    assert model_at(snapshot) == ("org/m", FIRST)
    assert model_at(snapshot.parent.parent) == ("org/m", None)
    assert model_at(cache) is None
    assert model_at(tmp_path) is None
