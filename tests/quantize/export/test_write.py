"""Writing a checkpoint: files, what is carried along, broken-off runs, full disks."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compressed_tensors.utils.match import is_match
from safetensors.torch import load_file

from localfp4.checkpoint.hub import find
from localfp4.checkpoint.index import open_checkpoint
from localfp4.errors import CheckpointError, UserError
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.events import Progress
from localfp4.quantize.export import shards, weights
from localfp4.quantize.export.write import export
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from tests.quantize.export.by_hand import CARD, exported, results

RTN = Recipe("rtn")


def opened(folder: Path) -> OpenedModel:
    return open_model(find(str(folder)))


def steps(folder: Path, out: Path, recipe: Recipe = RTN) -> Iterator[Progress]:
    """Export step by step."""
    model = opened(folder)
    work = out.with_name("work")
    work.mkdir(exist_ok=True)
    return export(model, recipe, results(model, recipe), out, work, CARD)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_small_model_is_one_file_beside_what_is_carried_along(
    sharp_model: Path, tmp_path: Path
) -> None:
    blobs, source = (tmp_path / "models--a--b" / part for part in ("blobs", "snapshots/c0ffee"))
    shutil.copytree(sharp_model, blobs)
    source.mkdir(parents=True)
    for path in blobs.iterdir():
        (source / path.name).symlink_to(path)
    (source / "LICENSE").write_text("terms")
    (source / "preprocessor_config.json").write_text("{}")
    (source / "hf_quant_config.json").write_text("{}")
    (source / "modeling.py").write_text("raise SystemExit")
    out = exported(source, tmp_path / "out", RTN)
    made = {"model.safetensors", "README.md", "config.json"}
    dropped = {"hf_quant_config.json", "modeling.py"}
    assert contents(out).keys() == (contents(source).keys() | made) - dropped
    assert not any(path.is_symlink() for path in out.iterdir())
    for name in contents(source).keys() - made - dropped:
        assert contents(out)[name] == contents(source)[name]
    assert (out / "README.md").read_text() == CARD
    described = json.loads((out / "config.json").read_text())
    assert described.pop("quantization_config")["quant_method"] == "compressed-tensors"
    assert described == json.loads((source / "config.json").read_text())


def test_a_large_model_is_a_file_a_layer_with_an_index(
    sharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_file(exported(sharp_model, tmp_path / "whole", RTN) / "model.safetensors")
    monkeypatch.setattr(weights, "SINGLE_FILE_BYTES", 1)
    monkeypatch.setattr(shards, "SHARD_BYTES", (272 + 1) * 48 * 4)  # an embedding and a norm
    out = exported(sharp_model, tmp_path / "out", RTN)
    names = [f"model-0000{number}-of-00004.safetensors" for number in range(1, 5)]
    assert sorted(path.name for path in out.glob("*.safetensors")) == names
    files = {name: load_file(out / name) for name in names}
    index = json.loads((out / "model.safetensors.index.json").read_text())
    where = {tensor: name for name, tensors in files.items() for tensor in tensors}
    assert index["weight_map"] == where
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    for layer in range(2):
        assert all(f"layers.{layer}." in name for name in files[names[layer]])
    assert where.keys() == whole.keys()
    assert all(torch.equal(files[where[name]][name], whole[name]) for name in whole)
    assert open_checkpoint(out).tensors.keys() == whole.keys()


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("kept", range(4))
def test_a_run_that_was_broken_off_ends_with_the_same_bytes(
    sharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, single: bool
) -> None:
    if not single:
        monkeypatch.setattr(weights, "SINGLE_FILE_BYTES", 1)
    expected = contents(exported(sharp_model, tmp_path / "expected", RTN))
    written: list[str] = []
    replace = os.replace

    def counted(source: Path, target: Path) -> None:
        if len(written) == kept:
            raise KeyboardInterrupt
        written.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", counted)
    if kept < 3 or single:
        with pytest.raises(KeyboardInterrupt):
            list(steps(sharp_model, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(os, "replace", replace)
    before = modified(tmp_path / "work" / "export")
    list(steps(sharp_model, tmp_path / "out"))
    assert contents(tmp_path / "out") == expected
    if not single:
        assert before.items() <= modified(tmp_path / "out").items()


def modified(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def test_progress_counts_files(sharp_model: Path, tmp_path: Path) -> None:
    told = list(steps(sharp_model, tmp_path / "out"))
    assert [(one.done, one.total) for one in told] == [(1, 3), (2, 3), (3, 3)]


def test_what_is_there_stays_untouched(sharp_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = steps(sharp_model, out)
    next(running)
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(UserError, match="out exists already"):
        list(running)
    assert contents(out) == {"precious": b"mine"}
    with pytest.raises(UserError, match="Nothing was changed"):
        list(steps(sharp_model, out))


def test_a_full_disk_is_told_and_leaves_no_torn_file(
    sharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match=r"out cannot be finished: No space .* goes on from there\."
    ):
        list(steps(sharp_model, tmp_path / "out"))
    assert not list(tmp_path.glob("**/export/*.safetensors"))
    monkeypatch.undo()
    list(steps(sharp_model, tmp_path / "out"))
    assert (tmp_path / "out" / "config.json").exists()


def test_an_original_that_shrinks_meanwhile_is_noticed(sharp_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sharp_model, source)
    running = steps(source, tmp_path / "out")
    next(running)
    with (source / "model.safetensors").open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(CheckpointError, match=r"changed while it was read|ended inside|damaged"):
        list(running)
    assert not (tmp_path / "out").exists()


def test_replaced_tensors_take_the_place_of_the_originals(
    sharp_model: Path, tmp_path: Path
) -> None:
    model = opened(sharp_model)
    own = {
        "model.layers.1.input_layernorm.weight": torch.full((48,), 3.0),
        "model.norm.weight": torch.full((48,), 5.0),
    }
    made = results(model, RTN, replaced=own)
    changed = load_file(exported(sharp_model, tmp_path / "a", RTN, made) / "model.safetensors")
    plain = load_file(exported(sharp_model, tmp_path / "b", RTN) / "model.safetensors")
    assert {n for n in plain if not torch.equal(plain[n], changed[n])} == own.keys()
    assert all(torch.equal(changed[name], tensor) for name, tensor in own.items())


def test_a_quantised_head_is_not_taken_for_the_embedding(fixtures: Path, tmp_path: Path) -> None:
    """Some configs tie the two although there is a head: then loaders must not drop it."""
    source = tmp_path / "source"
    shutil.copytree(fixtures / "m_qwen3_moe", source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    out = exported(source, tmp_path / "out", Recipe("rtn", keep=()))
    described = json.loads((out / "config.json").read_text())
    assert described["tie_word_embeddings"] is False
    assert described["quantization_config"]["ignore"] == ["model.layers.0.mlp.gate"]
    assert "lm_head.weight_packed" in open_checkpoint(out).tensors
    kept = exported(source, tmp_path / "kept", RTN)
    assert json.loads((kept / "config.json").read_text())["tie_word_embeddings"] is True


def test_what_is_kept_of_a_stack_is_taken_apart_in_16_bits(fixtures: Path, tmp_path: Path) -> None:
    """Loaders look for all experts of a layer in one way."""
    source = fixtures / "m_gpt_oss"
    model = opened(source)
    made = results(model, RTN)

    def without_down(index: int) -> LayerResult:
        result = made(index)
        sites = tuple(s for s in result.sites if not s.site.name.endswith("down_proj"))
        return LayerResult(index, sites)

    out = load_file(exported(source, tmp_path / "out", RTN, without_down) / "model.safetensors")
    stacked = load_file(source / "model.safetensors")
    for layer in range(2):
        name = f"model.layers.{layer}.mlp.experts"
        assert not any(one in out for one in (f"{name}.down_proj", f"{name}.gate_up_proj"))
        for expert in range(4):
            weight, bias = (out[f"{name}.{expert}.down_proj.{part}"] for part in ("weight", "bias"))
            assert torch.equal(weight, stacked[f"{name}.down_proj"][expert].T)
            assert torch.equal(bias, stacked[f"{name}.down_proj_bias"][expert])
            up = out[f"{name}.{expert}.up_proj.bias"]
            assert torch.equal(up, stacked[f"{name}.gate_up_proj_bias"][expert, 1::2])


def test_experts_that_stay_are_ignored_as_loaders_name_them(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "m_gpt_oss"
    recipe = Recipe("rtn", keep=("lm_head", "layers.1.mlp.experts"))
    out = exported(source, tmp_path / "out", recipe)
    stacked = open_checkpoint(source).tensors
    written = open_checkpoint(out).tensors
    for part in ("gate_up_proj", "down_proj_bias"):
        assert f"model.layers.0.mlp.experts.{part}" not in written
        name = f"model.layers.1.mlp.experts.{part}"
        assert written[name].shape == stacked[name].shape
    ignored = json.loads((out / "config.json").read_text())["quantization_config"]["ignore"]
    for expert in range(4):
        for part in ("gate", "up", "down"):
            name = f"mlp.experts.{expert}.{part}_proj"
            assert is_match(f"model.layers.1.{name}", torch.nn.Linear(1, 1), ignored)
            assert not is_match(f"model.layers.0.{name}", torch.nn.Linear(1, 1), ignored)
