"""Models of a hub on this machine, told of without their weights; two processes run all cases."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from localfp4.checkpoint.weight_files import INDEX_FILE, SINGLE_FILE
from localfp4.models.report import report
from tests.checkpoint.fake_hub import COMMIT, FakeHub
from tests.checkpoint.store.hub_process import run_elsewhere

LOOK = """
import contextlib, io, json, sys
from dataclasses import asdict
from localfp4.checkpoint.outlining import look_quietly
from localfp4.cli.entry import run_command_line
from localfp4.errors import UserError
from localfp4.models.report import report

for model in sys.argv[1:]:
    told = {"error": None}
    try:
        source = look_quietly(model)
        found = report(source)
        told |= {"parameters": found.parameters, "file_bytes": found.file_bytes,
                 "weights": [[w.name, w.description, w.nbytes] for w in found.weights],
                 "folder": str(source.folder), "download_bytes": source.download_bytes}
        for command in ("fit", "show"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                more = ["--gpu", "4070"] if command == "fit" else []
                told[f"{command}_ended"] = run_command_line([command, model, *more])
            told[command] = out.getvalue()
    except UserError as refused:
        told["error"] = f"{type(refused).__name__}: {refused}"
    print(json.dumps(told))
"""

Told = dict[str, dict[str, Any]]
SEEN = ("org/whole", "org/shards", "org/whole", "org/missing", "org/gated", "org/damaged")
FORGED = struct.pack("<Q", 2) + b"{}" + bytes(64)
"""A header of no tensors, before bytes that belong to none."""


@pytest.fixture(scope="module")
def hub(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    whole = {path.name: path.read_bytes() for path in demo_folder.iterdir() if path.is_file()}
    small = {name: data for name, data in whole.items() if name != SINGLE_FILE}
    shards = _shards(demo_folder, tmp_path_factory.mktemp("shards"))
    repositories = {
        "org/whole": whole,
        "org/shards": small | shards,
        "org/gated": whole,
        "org/damaged": small | {SINGLE_FILE: FORGED},
    }
    with FakeHub(repositories, pause_s=0).running() as running:
        yield running


def _shards(source: Path, folder: Path) -> dict[str, bytes]:
    tensors = load_file(source / SINGLE_FILE)
    weight_map: dict[str, str] = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        part = dict(sorted(tensors.items())[number - 1 :: 2])
        save_file(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def told(hub: FakeHub, home: Path) -> Told:
    found = run_elsewhere(LOOK, home / "hf", hub.url, *SEEN, XDG_CACHE_HOME=str(home / "cache"))
    return dict(zip(SEEN, found, strict=True))


@pytest.mark.parametrize("model", ["org/whole", "org/shards"])
def test_headers_tell_what_the_files_would(told: Told, model: str, demo_folder: Path) -> None:
    here = report(demo_folder)
    assert told[model]["error"] is None
    assert told[model]["parameters"] == here.parameters
    assert told[model]["file_bytes"] == here.file_bytes
    weights = [[one.name, one.description, one.nbytes] for one in here.weights]
    assert told[model]["weights"] == weights
    assert Path(told[model]["folder"]).name == COMMIT


def test_no_more_than_the_beginning_of_weights_is_sent(told: Told, hub: FakeHub) -> None:
    sizes = {name: len(data) for name, data in hub.repositories["org/shards"].items()}
    weights = [name for name in sizes if name.endswith(".safetensors")]
    for name in weights:
        assert hub.sent_bytes[f"org/shards/{name}"] <= 256 * 1024 < sizes[name]
    assert told["org/shards"]["download_bytes"] == sum(sizes[name] for name in weights)


def test_the_commands_tell_what_is_to_be_downloaded(told: Told) -> None:
    for command in ("fit", "show"):
        assert told["org/whole"][f"{command}_ended"] in (0, None)
        line = "files       not downloaded: 0.0 GB, by `localfp4 pull org/whole`"
        assert line in told["org/whole"][command]
    assert told["org/whole"]["fit"].startswith("org/whole on GeForce RTX 4070, 11.6 GiB free")


def test_what_was_looked_at_is_not_asked_for_again(told: Told, hub: FakeHub) -> None:
    # Seen six times: twice by name, each time by two commands as well.
    assert told["org/whole"]["error"] is None
    asked = [path for path in hub.requests if "org/whole" in path]
    assert len([path for path in asked if path.endswith(SINGLE_FILE)]) == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("org/missing", "org/missing"),
        ("org/gated", "licence"),
        ("org/damaged", "is damaged: it has 64 bytes that belong to no tensor"),
    ],
)
def test_what_cannot_be_told_of(told: Told, model: str, words: str) -> None:
    assert words in told[model]["error"]


def test_offline_what_was_looked_at_is_told_of(told: Told, hub: FakeHub, home: Path) -> None:
    kept = home / "cache" / "localfp4" / "headers"
    assert {path.name for path in kept.iterdir()} == {"org--whole", "org--shards"}
    os.utime(kept / "org--shards" / COMMIT / "files.json", (0, 0))  # so old that the hub is asked
    before = len(hub.requests)
    again = run_elsewhere(
        LOOK,
        home / "hf",
        hub.url,
        *("org/whole", f"org/whole@{COMMIT}", "org/shards", "org/never"),
        XDG_CACHE_HOME=str(home / "cache"),
        HF_HUB_OFFLINE="1",
    )
    assert len(hub.requests) == before
    for one in again[:3]:
        assert one["error"] is None
        assert one["weights"] == told["org/whole"]["weights"]
    assert "HF_HUB_OFFLINE" in again[3]["error"]
