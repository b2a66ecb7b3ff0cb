import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.reader import TensorReader
from localfp4.checkpoint.weight_files import INDEX_FILE
from localfp4.errors import CheckpointError, UnsupportedModelError

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


@pytest.fixture
def sharded(fixtures: Path, tmp_path: Path) -> Path:
    """The dense fixture, cut into three shards by the library's own writer."""
    tensors = load_file(fixtures / "m_qwen3" / "model.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(fixtures / "m_qwen3" / "config.json", folder)
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number in range(3):
        part = {name: tensors[name] for name in names[number::3]}
        file = f"model-0000{number + 1}-of-00003.safetensors"
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def read_index(folder: Path) -> dict[str, str]:
    weight_map = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"]
    return dict(weight_map)


def test_shards_hold_what_the_single_file_holds(sharded: Path, fixtures: Path) -> None:
    whole = load_file(fixtures / "m_qwen3" / "model.safetensors")
    checkpoint = open_checkpoint(sharded)
    assert checkpoint.tensors.keys() == whole.keys()
    assert checkpoint.total_bytes == sum(tensor.nbytes for tensor in whole.values())
    with TensorReader(checkpoint) as reader:
        for name, expected in whole.items():
            assert torch.equal(reader.read(name), expected)


def test_the_json_files_are_read(fixtures: Path) -> None:
    folder = fixtures / "mo_qwen3_NVFP4_DEFAULT_CFG"
    checkpoint = open_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert checkpoint.config == config
    assert checkpoint.quant_config == config["quantization_config"]
    assert checkpoint.generation_config["transformers_version"] == config["transformers_version"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quantization_config": {"a": 1}, "text_config": {"quantization_config": {"b": 1}}}, "a"),
        ({"text_config": {"quantization_config": {"b": 1}}}, "b"),
        ({"compression_config": {"c": 1}}, "c"),
        ({"quantization_config": None}, "quant_algo"),
        ({}, "quant_algo"),
    ],
)
def test_where_the_quantisation_is_described(
    make_checkpoint: Any, config: dict[str, Any], expected: str
) -> None:
    folder = make_checkpoint({"a": ("U8", [1])}).folder
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    exported = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (folder / "hf_quant_config.json").write_text(json.dumps(exported), encoding="utf-8")
    quant_config = open_checkpoint(folder).quant_config
    assert quant_config is not None
    assert expected in quant_config


def test_a_dense_checkpoint_describes_no_quantisation(fixtures: Path) -> None:
    assert open_checkpoint(fixtures / "m_qwen3").quant_config is None


def test_any_single_safetensors_file_will_do(fixtures: Path, tmp_path: Path) -> None:
    shutil.copy(fixtures / "m_qwen3" / "config.json", tmp_path)
    shutil.copy(fixtures / "m_qwen3" / "model.safetensors", tmp_path / "other.safetensors")
    assert (
        open_checkpoint(tmp_path).tensors.keys()
        == open_checkpoint(fixtures / "m_qwen3").tensors.keys()
    )


def test_missing_shards_are_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003\.safetensors of 3"):
        open_checkpoint(sharded)


def test_tensors_that_only_the_index_knows_are_named(sharded: Path) -> None:
    weight_map = read_index(sharded)
    write_index(sharded, weight_map | {"ghost.weight": next(iter(weight_map.values()))})
    with pytest.raises(CheckpointError, match=r"promises tensors .* ghost\.weight"):
        open_checkpoint(sharded)


def test_shards_without_an_index_are_refused(sharded: Path) -> None:
    (sharded / INDEX_FILE).unlink()
    with pytest.raises(CheckpointError, match=f"3 safetensors files but no {INDEX_FILE}"):
        open_checkpoint(sharded)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "sub/secret.safetensors",
        "/etc/secret.safetensors",
        "..\\secret.safetensors",
        "C:secret.safetensors",
        "C:\\secret.safetensors",
        "\\\\host\\share\\secret.safetensors",
        "%2e%2e%2fsecret.safetensors",
        "secret.safetensors\0.txt",
        "secret.safetensors\n",
        "..",
        ".safetensors",
        "-secret.safetensors",
        "secret.bin",
        "sécret.safetensors",
        "",
        7,
        None,
        ["secret.safetensors"],
    ],
)
def test_an_index_cannot_reach_outside_its_folder(
    sharded: Path, fixtures: Path, name: object
) -> None:
    shutil.copy(fixtures / "m_qwen3" / "model.safetensors", sharded.parent / "secret.safetensors")
    write_index(sharded, {"model.norm.weight": name})
    with pytest.raises(CheckpointError, match="is not a safetensors file of this folder") as error:
        open_checkpoint(sharded)
    assert str(error.value).isprintable()


@links
@pytest.mark.parametrize("name", ["model-00001-of-00003.safetensors", "config.json", INDEX_FILE])
def test_links_out_of_the_folder_are_refused(sharded: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / f"outside-{name}"
    shutil.move(sharded / name, outside)
    (sharded / name).symlink_to(outside)
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        open_checkpoint(sharded)


@links
@pytest.mark.parametrize("blobs", ["models--org--name/blobs", "blobs/ab"])
def test_links_into_the_stores_of_the_hub_cache_are_followed(
    sharded: Path, tmp_path: Path, blobs: str
) -> None:
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / "0123abcd"
    store = tmp_path / "hub" / blobs
    snapshot.mkdir(parents=True)
    store.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted(sharded.iterdir())):
        shutil.copy(path, store / str(number))
        (snapshot / path.name).symlink_to(os.path.relpath(store / str(number), snapshot))
    assert open_checkpoint(snapshot).tensors.keys() == open_checkpoint(sharded).tensors.keys()


@pytest.mark.parametrize("weight_map", [None, {}, [], "x"])
def test_an_index_without_a_map_is_refused(sharded: Path, weight_map: object) -> None:
    write_index(sharded, weight_map)
    with pytest.raises(CheckpointError, match="has no weight_map"):
        open_checkpoint(sharded)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a":' + b"[" * 200_000, "not valid JSON"),
        (b"[]", "does not hold a JSON object"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", INDEX_FILE])
def test_broken_json_is_refused(sharded: Path, name: str, content: bytes, reason: str) -> None:
    (sharded / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(sharded)


def test_an_absurdly_large_config_is_refused_unread(sharded: Path) -> None:
    with (sharded / "config.json").open("r+b") as file:
        file.truncate(10**10)  # sparse
    with pytest.raises(CheckpointError, match="too large"):
        open_checkpoint(sharded)


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        open_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_looked_into_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:  # as for a folder of another user
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read: Permission denied\.$"):
        open_checkpoint(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="has no weights"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.gguf", "consolidated.00.pth"])
def test_other_weight_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnsupportedModelError, match=f"in {name}, and localfp4 reads only"):
        open_checkpoint(tmp_path)


def test_code_in_a_checkpoint_never_runs(sharded: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    code = f"open({str(sentinel)!r}, 'w').close()\n"
    for name in ("modeling_evil.py", "configuration_evil.py", "conftest.py", "__init__.py"):
        (sharded / name).write_text(code, encoding="utf-8")
    config = json.loads((sharded / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {
        "AutoConfig": "configuration_evil.Config",
        "AutoModelForCausalLM": "modeling_evil.Model",
    }
    (sharded / "config.json").write_text(json.dumps(config), encoding="utf-8")
    checkpoint = open_checkpoint(sharded)
    with TensorReader(checkpoint) as reader:
        for name in checkpoint.tensors:
            reader.read(name)
    assert not sentinel.exists()
