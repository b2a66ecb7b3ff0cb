"""Which models are listed: from a cache made by hand, folders, and the table of short names."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from localfp4.backend.catalog import models
from localfp4.checkpoint.hub import find
from localfp4.checkpoint.names.aliases import ALIASES
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
    put(cache, "org/by-branch", branch="other")
    (cache / "models--org--pickle" / "snapshots" / COMMIT).mkdir(parents=True)
    (cache / "datasets--org--data").mkdir()
    (cache / "version.txt").touch()
    listed = found()
    whole = listed["org/whole"]
    assert whole.is_local
    assert whole.size_bytes is not None
    assert 2000 < whole.size_bytes < 2200
    assert listed["org/by-branch@other"].is_local
    assert not listed["org/lacks-a-shard"].is_local
    assert listed["org/lacks-a-shard"].present_bytes == 1000
    assert not [name for name in listed if "pickle" in name or "data" in name]


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


def test_listing_opens_a_few_small_files_of_each_and_no_weights(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        put(cache, f"org/model-{n}", shards=4)
    opened: list[str] = []
    plain_open = Path.open

    def count(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(self.name)
        return plain_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", count)
    assert len(found()) >= 6
    assert {name for name in opened if "safetensors" in name} == {"model.safetensors.index.json"}
    assert len(opened) <= 4 * 5


def test_a_name_of_the_users_own_takes_the_place_of_ours(cache: Path) -> None:
    put(cache, "nvidia/Qwen3-8B-NVFP4")
    [entry] = [e for e in models([], {"big": "nvidia/Qwen3-8B-NVFP4"}) if e.alias == "big"]
    assert (entry.name, entry.is_local) == ("nvidia/Qwen3-8B-NVFP4", True)


def test_a_name_of_the_users_own_may_stand_for_a_short_name(cache: Path) -> None:
    put(cache, "nvidia/Qwen3-8B-NVFP4")
    assert [e.name for e in models([], {"big": "qwen3:8b"}) if e.alias == "big"] == [
        "nvidia/Qwen3-8B-NVFP4"
    ]


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
