"""``localfp4 pull`` from a hub on this machine: what it says, and being killed in the middle."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.checkpoint.fake_hub import COMMIT, FakeHub
from tests.checkpoint.hub_fault import Fault
from tests.checkpoint.store.hub_process import hub_environment, repository_in, run_elsewhere

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/pull.json").read_text(encoding="utf-8"))
CONFIG = b'{"model_type": "qwen3"}'
WEIGHTS = random.Random(3).randbytes(3_000_000)
NEW_WEIGHTS = random.Random(4).randbytes(3_000_000)
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "README.md": b"# model"}
SOON_S = 60
MODEL_FILE = "org/model/model.safetensors"

COMMANDS = """
import contextlib, errno, io, json, pathlib, sys
import huggingface_hub.constants
from localfp4.checkpoint.store.partial import PartialFile
from localfp4.cli.entry import run_command_line

append = PartialFile.append

def fill_the_disk(part, chunk):
    append(part, chunk[:500])
    if chunk[500:]:
        raise OSError(errno.ENOSPC, "No space left on device")

for line in json.loads(sys.argv[1]):
    arguments = line.split()
    if arguments[0] == "damage":
        path = next(pathlib.Path(arguments[1]).glob("snapshots/*/model.safetensors"))
        path.write_bytes(b"x" + path.read_bytes()[1:])
        continue
    if arguments[0] == "offline":
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        continue
    PartialFile.append = fill_the_disk if "org/full" in arguments else append
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command_line(arguments)
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]
    print(json.dumps([code, *texts]))
"""

Told = tuple[int, str, str]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub({"org/model": dict(FILES)}, pause_s=0).running() as running:
        yield running


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """Run commands one after the other in one process."""
    home = tmp_path_factory.mktemp("hf")
    names = ("model", "full", "mirror", "gated")
    hub = FakeHub(
        {f"org/{name}": dict(FILES) for name in names},
        unlisted=frozenset(["org/mirror"]),
        redirects=True,
        pause_s=0,
    )
    commands = [
        "pull org/model --dry-run",
        "pull org/model org/missing",
        "pull org/model",
        "pull org/model --json",
        f"damage {repository_in(home, 'org/model').folder}",
        "pull org/model --verify",
        "pull org/model org/model --verify --json",
        "pull org/full",
        "pull org/full --dry-run",
        "pull org/gated",
        "pull demo",
        "pull org/model --jobs 0",
        "pull org/model --verify --dry-run",
        "pull org/mirror",
        "offline",
        "pull hf.co/org/model",
        "pull org/mirror --verify",
    ]
    with hub.running():
        results = run_elsewhere(COMMANDS, home, hub.url, json.dumps(commands))
    run = [line for line in commands if line.startswith("pull")]
    return dict(zip(run, map(tuple, results), strict=True))


def test_a_dry_run_names_files_and_downloads_nothing(told: dict[str, Told]) -> None:
    assert told["pull org/model --dry-run"][:2] == (
        0,
        "org/model: org/model at 01234567\n"
        "  config.json            23 B\n"
        "  model.safetensors    3.0 MB\n"
        "  2 files, 3.0 MB to download\n",
    )


def test_a_name_that_is_wrong_is_told_before_anything_is_downloaded(told: dict[str, Told]) -> None:
    code, out, err = told["pull org/model org/missing"]
    assert (code, out) == (2, "")
    assert err.startswith("✗ There is no model org/missing on the hub")
    assert "Downloading org/model" not in err
    assert "Downloading org/model" in told["pull org/model"][2]


def test_a_download_ends_with_a_line(told: dict[str, Told]) -> None:
    code, out, _ = told["pull org/model"]
    assert code == 0
    assert out == "org/model is here, 3.0 MB in 2 files; `localfp4 chat org/model` talks with it.\n"
    assert told["pull org/mirror"][0] == 0


def test_json_has_sizes_and_hashes(told: dict[str, Told]) -> None:
    found = checked(told["pull org/model --json"])
    [row] = found["rows"]
    assert (row["revision"], row["total_bytes"]) == (COMMIT, len(CONFIG) + len(WEIGHTS))
    assert row["missing_bytes"] == 0
    weights = row["files"][1]
    assert weights["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert weights["was_here"]


def test_what_is_damaged_is_fetched_again(told: dict[str, Told]) -> None:
    code, out, err = told["pull org/model --verify"]
    assert code == 0
    assert "model.safetensors had been damaged and came anew." in out
    assert "Checking org/model" in err
    [row] = checked(told["pull org/model org/model --verify --json"])["rows"]
    assert not any(file["was_damaged"] for file in row["files"])


def test_a_disk_that_fills_up_is_told_and_what_arrived_is_kept(told: dict[str, Told]) -> None:
    code, _, err = told["pull org/full"]
    assert code == 2
    assert "filled up while org/full was downloaded; make room and try again" in err
    assert "500 B of it here" in told["pull org/full --dry-run"][1]


def test_what_needs_the_user_is_told(told: dict[str, Told]) -> None:
    assert "then run `hf auth login`" in told["pull org/gated"][2]
    assert told["pull demo"] == (0, "", "note: demo needs no download.\n")
    assert told["pull org/model --jobs 0"][0] == 2
    assert "choose one" in told["pull org/model --verify --dry-run"][2]


def test_without_the_hub_what_is_here_does_but_is_not_called_verified(
    told: dict[str, Told],
) -> None:
    code, out, err = told["pull hf.co/org/model"]
    assert (code, out) == (0, "")
    assert "is here, but the hub cannot be asked" in err
    code, out, err = told["pull org/mirror --verify"]
    assert (code, out) == (2, "")
    assert "org/mirror is here, but was not checked" in err


def checked(result: Told) -> dict[str, Any]:
    code, out, _ = result
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


def pulling(home: Path, hub: FakeHub) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "localfp4", "pull", "org/model"],
        env=hub_environment(home, hub.url, HF_HUB_DOWNLOAD_TIMEOUT=str(SOON_S)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def until_arrived(home: Path, least_bytes: int) -> None:
    """Wait until so much of the weights is here."""
    blobs, deadline = repository_in(home, "org/model").blobs, time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        parts = list(blobs.glob("*.incomplete"))
        if parts and max(part.stat().st_size for part in parts) >= least_bytes:
            return
        time.sleep(0.02)
    raise AssertionError("the download does not begin")


@pytest.mark.slow
def test_one_waits_for_another_and_goes_on_where_that_was_killed(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.faults[MODEL_FILE] = [Fault(after=1_000_000, stalls=True)]
    with pulling(tmp_path, hub) as first:
        until_arrived(tmp_path, 1_000_000)
        with pulling(tmp_path, hub) as second:
            assert second.stderr is not None
            waits = "Waiting for another program that downloads org/model: 1.0 of 3.0 MB"
            assert any(waits in line for line in second.stderr)
            first.kill()
            out, _ = second.communicate(timeout=SOON_S)
    assert second.returncode == 0
    assert out.startswith("org/model is here")
    assert hub.starts(MODEL_FILE) == [0, 1_000_000]
    [whole] = tmp_path.glob("hub/models--org--model/snapshots/*/model.safetensors")
    assert whole.read_bytes() == WEIGHTS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")
def test_ctrl_c_says_how_to_go_on(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults[MODEL_FILE] = [Fault(after=1_000_000, stalls=True)]
    with pulling(tmp_path, hub) as stopped:
        until_arrived(tmp_path, 1_000_000)
        stopped.send_signal(signal.SIGINT)
        _, err = stopped.communicate(timeout=SOON_S)
    assert stopped.returncode == 130
    assert "1.0 MB of 3.0 MB are here; `localfp4 pull org/model` goes on from there." in err


@pytest.mark.slow
def test_killed_again_and_again_it_arrives_and_a_new_version_is_not_mixed_in(
    hub: FakeHub, tmp_path: Path
) -> None:
    chance = random.Random(5)
    folder = repository_in(tmp_path, "org/model").folder
    for attempt in range(6):
        stop = chance.randrange(400_000)  # less than all, altogether
        hub.faults[MODEL_FILE] = [Fault(after=stop, stalls=True)]
        with pulling(tmp_path, hub) as killed:
            if attempt % 2:
                until_arrived(tmp_path, sum(hub.sent_bytes.values()) // 2)
            else:
                time.sleep(chance.uniform(0.2, 1.2))  # wherever that is
            killed.kill()
        assert not list(folder.glob("snapshots/*/model.safetensors"))
        assert all(path.read_bytes() == CONFIG for path in folder.glob("snapshots/*/config.json"))
    hub.commit = COMMIT[::-1]
    hub.repositories["org/model"]["model.safetensors"] = NEW_WEIGHTS
    hub.faults.clear()
    with pulling(tmp_path, hub) as anew:
        anew.communicate(timeout=SOON_S)
    assert anew.returncode == 0
    assert hub.starts(MODEL_FILE)[-1] == 0
    [whole] = folder.glob("snapshots/*/model.safetensors")
    assert whole.parent.name == hub.commit
    assert whole.read_bytes() == NEW_WEIGHTS
