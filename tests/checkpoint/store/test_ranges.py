"""Parts of files, and the small files of a model, from a hub on this machine."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint.fake_hub import COMMIT, FakeHub
from tests.checkpoint.hub_fault import Fault
from tests.checkpoint.store.hub_process import repository_in, run_elsewhere

BIG = random.Random(1).randbytes(16 * 2**20)
SMALL = random.Random(2).randbytes(100)
FILES = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": SMALL}

READ = f"""
import json, sys
from localfp4.checkpoint.store.connection import Patience
from localfp4.checkpoint.store.ranges import read_range
from localfp4.checkpoint.store.small_files import fetch_small_files
from localfp4.checkpoint.store.snapshot import HubModel

def read(repo_id, start, end):
    try:
        patience = Patience(pause_s=0)
        part = read_range(repo_id, "model.safetensors", "{COMMIT}", start, end, patience)
    except OSError as error:
        return str(error)
    return part.hex()

for repo_id, start, end in json.loads(sys.argv[1]):
    print(json.dumps(read(repo_id, start, end)))
print(json.dumps(str(fetch_small_files(HubModel("org/model")))))
print(json.dumps(str(fetch_small_files(HubModel("org/model")))))
"""

CASES = {
    "part": ("org/model", 10, 20, SMALL[10:20].hex()),
    "beginning": ("org/model", 0, 8, SMALL[:8].hex()),
    "beyond-the-end": ("org/model", 90, 200, SMALL[90:].hex()),
    "behind-the-end": ("org/model", 100, 200, "model.safetensors ends before byte 100"),
    "ignored": ("org/ignores", 70_000, 70_008, BIG[70_000:70_008].hex()),
    "elsewhere": (
        "org/elsewhere",
        10,
        20,
        "another part of model.safetensors arrived than was asked for",
    ),
    "zipped": (
        "org/zipped",
        10,
        20,
        "another part of model.safetensors arrived than was asked for",
    ),
    "busy": ("org/busy", 10, 20, SMALL[10:20].hex()),
    "cut": ("org/cut", 10, 20, SMALL[10:20].hex()),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    names = {case[0] for case in CASES.values()}
    weights = "model.safetensors"
    faults = {
        f"org/ignores/{weights}": [Fault(ignores_range=True)],
        f"org/elsewhere/{weights}": [Fault(off_by=1)],
        f"org/zipped/{weights}": [Fault(zips=True)],
        f"org/busy/{weights}": [Fault(status=503), Fault(status=429)],
        f"org/cut/{weights}": [Fault(after=5)],
    }
    repositories = {name: dict(FILES) for name in names}
    repositories["org/ignores"][weights] = BIG
    with FakeHub(repositories, faults=faults, pause_s=0).running() as hub:
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def results(hub: FakeHub, home: Path) -> list[str]:
    asked = json.dumps([case[:3] for case in CASES.values()])
    return run_elsewhere(READ, home, hub.url, asked)


@pytest.mark.parametrize("case", CASES)
def test_a_range_is_what_was_asked_for_or_an_error(results: list[str], case: str) -> None:
    assert results[list(CASES).index(case)] == CASES[case][3]


def test_a_server_that_ignores_ranges_need_not_send_all(results: list[str], hub: FakeHub) -> None:
    assert results
    assert hub.sent_bytes["org/ignores/model.safetensors"] < len(BIG)


def test_small_files_come_without_weights_and_once(
    results: list[str], hub: FakeHub, home: Path
) -> None:
    first, second = map(Path, results[len(CASES) :])
    assert first == second == repository_in(home, "org/model").folder / "snapshots" / COMMIT
    assert {path.name for path in first.iterdir()} == {"config.json", "tokenizer.json"}
    asked = [path for path in hub.requests if path.startswith("/org/model/resolve")]
    assert asked.count(f"/org/model/resolve/{COMMIT}/config.json") == 1


def test_the_branch_is_noted_where_no_other_version_is_whole(
    results: list[str], home: Path
) -> None:
    assert results
    assert (repository_in(home, "org/model").folder / "refs" / "main").read_text() == COMMIT
