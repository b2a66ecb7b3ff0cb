"""What models on this computer are told to be: from a cache and folders made by hand."""

import json
import os
import shutil
from pathlib import Path

import pytest

from localfp4.backend.installed import InstalledModel, installed
from tests.checkpoint.store.cached import FIRST, SECOND, files_in, put, put_part, use_cache

DAY_S = 86400.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_cache(tmp_path / "hub", monkeypatch)


def listed(*folders: Path, **aliases: str) -> dict[str, InstalledModel]:
    return {model.name: model for model in installed(folders, aliases)}


def test_the_demo_is_first_and_always_ready(cache: Path) -> None:
    [demo] = installed([])
    assert (demo.name, demo.state, demo.origin) == ("demo", "ready", "bundled")
    assert demo.weight_format == "NVFP4 W4A16"


@pytest.mark.parametrize("links", [True, False])
def test_a_model_of_the_cache_is_told_by_its_headers(
    cache: Path, fixtures: Path, links: bool
) -> None:
    files = files_in(fixtures / "ct_qwen3_NVFP4A16")
    snapshot = put(cache, "nvidia/Qwen3-8B-NVFP4", files, links=links)
    model = listed()["nvidia/Qwen3-8B-NVFP4"]
    assert (model.state, model.origin, model.alias) == ("ready", "cache", "qwen3:8b")
    assert model.weight_format == "NVFP4 W4A16"
    assert model.size_bytes == sum(map(len, files.values()))
    assert model.folder == snapshot


def test_each_version_is_listed_and_only_main_has_the_short_name(
    cache: Path, fixtures: Path
) -> None:
    files = files_in(fixtures / "m_qwen3")
    put(cache, "nvidia/Qwen3-8B-NVFP4", files)
    put(cache, "nvidia/Qwen3-8B-NVFP4", files, commit=SECOND, refs=("v1",))
    found = listed()
    assert found["nvidia/Qwen3-8B-NVFP4@v1"].alias == ""
    assert found["nvidia/Qwen3-8B-NVFP4"].alias == "qwen3:8b"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-100], "ends after"),
        (lambda data: data[:4], "too few"),
        (lambda data: b"\xff" * 8 + data, "its header claims"),
        (lambda data: data[:8] + b"[" * (len(data) - 8), "not a JSON object"),
    ],
)
def test_a_damaged_model_is_listed_as_that(
    cache: Path, fixtures: Path, damage: object, words: str
) -> None:
    files = files_in(fixtures / "m_qwen3")
    assert callable(damage)
    put(cache, "org/m", {**files, "model.safetensors": damage(files["model.safetensors"])})
    model = listed()["org/m"]
    assert model.state == "damaged"
    assert model.remark.startswith("model.safetensors is damaged")
    assert words in model.remark
    assert FIRST not in model.remark


@pytest.mark.parametrize("config", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_model_whose_config_is_none_is_damaged(
    cache: Path, fixtures: Path, config: bytes
) -> None:
    put(cache, "org/m", {**files_in(fixtures / "m_qwen3"), "config.json": config})
    assert listed()["org/m"].state == "damaged"


def test_what_this_version_cannot_run_says_why(cache: Path, fixtures: Path) -> None:
    files = files_in(fixtures / "m_qwen3")
    config = {**json.loads(files["config.json"]), "model_type": "bert"}
    put(cache, "org/bert", {**files, "config.json": json.dumps(config).encode()})
    put(cache, "org/gguf", {"config.json": b"{}", "m.Q4_K_M.gguf": bytes(100)})
    put(cache, "org/words", {"tokenizer.json": b"{}"})
    found = listed()
    assert found["org/bert"].state == "unsupported"
    assert "'bert'" in found["org/bert"].remark
    assert (found["org/gguf"].state, found["org/gguf"].size_bytes) == ("other", 102)
    assert "GGUF" in found["org/gguf"].remark
    assert "no weights" in found["org/words"].remark


def test_an_unfinished_download_tells_how_far_it_is(cache: Path) -> None:
    put_part(cache, "nvidia/Qwen3-8B-NVFP4", 700)
    model = listed()["nvidia/Qwen3-8B-NVFP4"]
    assert (model.state, model.present_bytes, model.alias) == ("unfinished", 700, "qwen3:8b")
    assert model.size_bytes is not None
    assert model.size_bytes > 6e9


def test_folders_of_the_user_are_listed_with_their_names(
    cache: Path, tmp_path: Path, fixtures: Path
) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(fixtures / "m_qwen3", shelf / "mine")
    found = listed(shelf, big=str(shelf / "mine"))
    assert found[str(shelf / "mine")].origin == "folder"
    assert found[str(shelf / "mine")].alias == "big"


def test_reading_the_tokenizer_is_using_a_model_and_listing_it_is_not(
    cache: Path, fixtures: Path
) -> None:
    files = {**files_in(fixtures / "m_qwen3"), "tokenizer.json": b"{}"}
    snapshot = put(cache, "org/m", files)
    for path in snapshot.iterdir():
        os.utime(path, (50 * DAY_S, 10 * DAY_S))
    os.utime(snapshot / "tokenizer.json", (20 * DAY_S, 10 * DAY_S))
    assert listed()["org/m"].used_s == 20 * DAY_S
    os.utime(snapshot / "config.json", (50 * DAY_S, 30 * DAY_S))  # a newer version came
    assert listed()["org/m"].used_s == 30 * DAY_S


def test_what_cannot_be_run_comes_last(cache: Path, fixtures: Path) -> None:
    files = files_in(fixtures / "m_qwen3")
    put(cache, "a/other", {"m.gguf": b"0"})
    put_part(cache, "a/part", 10)
    put(cache, "a/damaged", {**files, "model.safetensors": b"0"})
    put(cache, "z/ready", files)
    names = [model.name for model in installed([])]
    assert names == ["demo", "z/ready", "a/damaged", "a/part", "a/other"]
