"""Data sets of a hub on this machine, fetched in processes that see only it and their own cache."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.hub_dataset import HubDataset
from tests.checkpoint.fake_hub import FakeHub

FETCH = """
import sys
from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.hub_dataset import HubDataset

for name in sys.argv[1:]:
    try:
        path = HubDataset.named(name).fetch(50)
        print(path.name, path.read_text(encoding="utf-8")[:20].strip(), sep=": ")
    except CalibrationError as error:
        print(error)
"""


def line(text: str, size: int) -> bytes:
    return json.dumps({"text": text.ljust(size)}).encode() + b"\n"


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    files = {
        "README.md": b"# data",
        "data/train-small.jsonl": line("small", 5),
        "data/train-enough.jsonl": line("enough", 60),
        "data/train-large.jsonl": line("large", 6000),
        "data/test.jsonl": line("test", 70),
        "notes.csv": b"1,2",
    }
    repositories = {"org/data": files, "org/tables": {"notes.csv": b"1,2"}}
    with FakeHub(repositories).running() as running:
        yield running


def fetched(home: Path, url: str, *names: str) -> list[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    own = {"HF_HOME": str(home), "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FETCH, *names]
    done = subprocess.run(command, env=kept | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr, "huggingface_hub drew a progress bar"
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_smallest_file_for_training_with_enough_text_is_taken(
    hub: FakeHub, tmp_path: Path
) -> None:
    chosen, named, missing, revision, tables, unknown, gated = fetched(
        tmp_path,
        hub.url,
        "org/data",
        "org/data/data/test.jsonl@main",
        "org/data/nothing.jsonl",
        "org/data@v9",
        "org/tables",
        "org/missing",
        "org/gated",
    )
    assert chosen == 'train-enough.jsonl: {"text": "enough'
    assert named == 'test.jsonl: {"text": "test'
    assert missing == "The data set org/data has no file nothing.jsonl."
    assert revision == "The data set org/data has no revision v9."
    assert tables.startswith("org/tables has no .txt, .md, .jsonl, .parquet file")
    assert unknown.startswith("There is no data set org/missing on the hub, or it is private")
    assert gated.startswith("The data set org/gated is gated")
    # What was fetched is there without the hub.
    [again, other] = fetched(tmp_path, "http://127.0.0.1:9", "org/data", "org/else")
    assert again == chosen
    assert other.startswith("The data set org/else cannot be had now")


@pytest.mark.parametrize("name", ["", "data", "org/data/../x", "org/data@", "org data/x", "/a/b"])
def test_names_of_no_data_set_are_refused(name: str) -> None:
    with pytest.raises(CalibrationError, match="names no data set; write hub:org/dataset"):
        HubDataset.named(name)


def test_a_name_has_a_file_and_a_revision() -> None:
    assert HubDataset.named("o/d/a/b.jsonl@v1") == HubDataset("o/d", "a/b.jsonl", "v1")
