"""Which models are listed: from a cache made by hand, folders, and the table of short names."""

import json
import shutil
from pathlib import Path
from time import perf_counter

import pytest

from localfp4.backend.catalog import models
from localfp4.checkpoint.aliases import ALIASES
from localfp4.checkpoint.hub import find, locate
from localfp4.checkpoint.snapshot import HubModel
from localfp4.errors import ModelNotFoundError
from localfp4.reports import ModelEntry

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, repo: str, *, shards: int = 1, missing: int = 0, branch: str = "main") -> None:
    """Write a repository as huggingface_hub does, with some of its shards missing."""
    store = cache / f"models--{repo.replace('/', '--')}"
    snapshot = store / "snapshots" / COMMIT
    for folder in (store / "blobs", store / "refs", snapshot):
        folder.mkdir(parents=True)
    (store / "refs" / branch).write_text(COMMIT)
    names = [f"model-{n}.safetensors" for n in range(shards)]
    (snapshot / "config.json").write_text("{}")
    index = {"weight_map": {f"w{n}": name for n, name in enumerate(names)}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    for n, name in enumerate(names[: shards - missing]):
        blob = store / "blobs" / f"hash{n}"
        blob.write_bytes(bytes(1000))
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)


def found(*folders: Path) -> dict[str, ModelEntry]:
    return {entry.name: entry for entry in models(folders)}


def test_whole_repositories_of_the_cache_are_listed(cache: Path) -> None:
    put(cache, "org/whole", shards=2)
    put(cache, "org/lacks-a-shard", shards=2, missing=1)
    put(cache, "org/by-commit", branch="other")
    (cache / "models--org--pickle" / "snapshots" / COMMIT).mkdir(parents=True)
    (cache / "datasets--org--data").mkdir()
    (cache / "version.txt").touch()
    listed = found()
    whole = listed["org/whole"]
    assert whole.is_local
    assert whole.size_bytes is not None
    assert 2000 < whole.size_bytes < 2200
    assert f"org/by-commit@{COMMIT}" in listed
    assert not [name for name in listed if "lacks" in name or "pickle" in name or "data" in name]


def test_a_download_that_was_begun_is_listed_with_what_is_here(cache: Path) -> None:
    blobs = cache / "models--nvidia--Qwen3-8B-NVFP4" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(bytes(700))
    (blobs / "abc.1f2e3d4c.incomplete").write_bytes(bytes(900))
    entry = found()["nvidia/Qwen3-8B-NVFP4"]
    assert not entry.is_local
    assert entry.alias == "qwen3:8b"
    assert entry.present_bytes == 700
    assert entry.size_bytes == 6_396_932_352


def test_folders_are_models_or_hold_models(cache: Path, tmp_path: Path, fixtures: Path) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(fixtures / "m_qwen3", shelf / "mine")
    (shelf / "notes").mkdir()
    assert str(shelf / "mine") in found(shelf)
    assert str(shelf / "mine") in found(shelf / "mine", shelf)
    assert len(models([shelf, shelf / "mine"])) == len(models([shelf]))
    assert str(shelf / "notes") not in found(shelf, tmp_path / "gone")


def test_the_order_is_demo_here_begun_known(cache: Path) -> None:
    put(cache, "org/Zebra")
    put(cache, "zoo/ant")
    names = [entry.name for entry in models([])]
    assert names[:3] == ["demo", "zoo/ant", "org/Zebra"]
    assert names[3:] == [alias.repo_id for alias in ALIASES]


def test_fifty_repositories_are_listed_at_once(cache: Path) -> None:
    for n in range(50):
        put(cache, f"org/model-{n}", shards=4)
    models([])  # imports
    began = perf_counter()
    assert len(found()) >= 51
    assert perf_counter() - began < 0.5  # 20 ms on a slow machine


def test_a_short_name_stands_for_its_repository() -> None:
    assert locate("qwen3:8b") == HubModel("nvidia/Qwen3-8B-NVFP4")
    assert locate("GPT-OSS:20b") == HubModel("openai/gpt-oss-20b")


def test_a_folder_of_the_same_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt-oss:20b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("gpt-oss:20b") == Path("gpt-oss:20b")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qwen3", "qwen3:8b"),
        ("qwen3:8", "qwen3:8b"),
        ("gpt-oss20b", "gpt-oss:20b"),
        ("demmo", "demo"),
    ],
)
def test_a_near_miss_is_told_what_was_probably_meant(typed: str, meant: str) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"Did you mean {meant}\?"):
        locate(typed)


def test_short_names_are_unlike_each_other_and_ids_are_ids() -> None:
    assert len({alias.name for alias in ALIASES}) == len(ALIASES)
    assert len({alias.repo_id for alias in ALIASES}) == len(ALIASES)
    for alias in ALIASES:
        assert alias.name == alias.name.lower()
        assert locate(alias.repo_id) == locate(alias.name)


def test_a_name_of_the_users_own_takes_the_place_of_ours(cache: Path) -> None:
    put(cache, "nvidia/Qwen3-8B-NVFP4")
    [entry] = [e for e in models([], {"big": "nvidia/Qwen3-8B-NVFP4"}) if e.alias == "big"]
    assert (entry.name, entry.is_local) == ("nvidia/Qwen3-8B-NVFP4", True)


def test_what_is_not_whole_is_not_here(cache: Path) -> None:
    put(cache, "org/lacks-a-shard", shards=2, missing=1)
    with pytest.raises(ModelNotFoundError, match="org/lacks-a-shard is not on this computer yet"):
        find("org/lacks-a-shard")
    put(cache, "org/whole", shards=2)
    assert find("org/whole") == cache / "models--org--whole" / "snapshots" / COMMIT


@pytest.mark.parametrize(
    "index", ["[" * 100_000, '{"weight_map": ["x"]}', "", '{"weight_map": {}}']
)
def test_a_folder_with_a_damaged_index_is_left_out(tmp_path: Path, index: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert models([tmp_path]) == models([])


def test_folders_that_cannot_be_read_are_left_out(cache: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    (tmp_path / "a-file").touch()
    assert models([locked, tmp_path / "a-file", tmp_path / "gone"]) == models([])
