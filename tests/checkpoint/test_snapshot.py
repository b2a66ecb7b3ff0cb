"""Downloads from a hub on this machine, each in a process that sees only it and its own cache."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.refusals import refusal
from tests.checkpoint.fake_hub import COMMIT, FakeHub

BIG = 1024 * 1024

RESOLVE = """
import json, sys
from localfp4.checkpoint.hub import download
from localfp4.errors import UserError

for model in sys.argv[1:]:
    steps, seen, folder, error = download(model), [], None, None
    try:
        while True:
            step = next(steps)
            seen.append([step.stage, step.done_bytes, step.total_bytes])
    except StopIteration as end:
        folder = str(end.value)
    except UserError as refused:
        error = f"{type(refused).__name__}: {refused}"
    print(json.dumps({"seen": seen, "folder": folder, "error": error}))
"""

Outcome = dict[str, Any]


def resolve_elsewhere(home: Path, url: str, *models: str, **extra: str) -> list[Outcome]:
    """Resolve models one after the other in a process that sees only this hub and cache."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_HOME": str(home),
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        **extra,
    }
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *models], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr, "huggingface_hub drew a progress bar"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(fixtures: Path) -> Iterator[FakeHub]:
    source = fixtures / "m_qwen3"
    model = {path.name: path.read_bytes() for path in source.iterdir()}
    extras = {
        "modeling_evil.py": b"raise SystemExit",
        "pytorch_model.bin": b"pickle",
        "consolidated.safetensors": b"the same weights again",
        "onnx/model.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "README.md": b"# model",
        "vocab.json": bytes(BIG),
    }
    repositories = {
        "org/model": model | extras,
        "org/pickle": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
        "org/huge": model,
        "org/cut": model,
    }
    with FakeHub(repositories, claimed_sizes={"org/huge": 10**16}).running() as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def outcomes(hub: FakeHub, home: Path) -> dict[str, Outcome]:
    models = [
        "org/model",
        f"org/model@{COMMIT}",
        "org/model@nightly",
        "org/pickle",
        "org/huge",
        "org/missing",
        "org/private",
        "org/gated",
        "org/broken",
    ]
    return dict(zip(models, resolve_elsewhere(home, hub.url, *models), strict=True))


def test_a_model_is_downloaded_and_opens(outcomes: dict[str, Outcome], fixtures: Path) -> None:
    outcome = outcomes["org/model"]
    assert outcome["error"] is None
    checkpoint = open_checkpoint(Path(outcome["folder"]))
    assert checkpoint.tensors.keys() == open_checkpoint(fixtures / "m_qwen3").tensors.keys()


def test_only_data_is_downloaded(outcomes: dict[str, Outcome], hub: FakeHub) -> None:
    names = {path.name for path in Path(outcomes["org/model"]["folder"]).rglob("*")}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "vocab.json",
        "chat_template.jinja",
    }
    asked = {path.rpartition("/")[2] for path in hub.requests if "/resolve/" in path}
    assert asked == names


def test_progress_counts_the_bytes_that_arrive(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["org/model"]
    files = list(Path(outcome["folder"]).iterdir())
    total = sum(path.stat().st_size for path in files)
    assert outcome["seen"][0] == ["Looking for org/model", 0, 0]
    steps = [step for step in outcome["seen"] if step[0] == "Downloading org/model"]
    done = [step[1] for step in steps]
    assert {step[2] for step in steps} == {total}
    assert done == sorted(done)
    assert done[-1] == total
    assert any(0 < count < total for count in done)


def test_what_is_cached_is_not_downloaded_again(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[f"org/model@{COMMIT}"]
    assert outcome["folder"] == outcomes["org/model"]["folder"]
    assert all(total == 0 for _, _, total in outcome["seen"])


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("org/model@nightly", "org/model has no revision by that name: org/model@nightly."),
        ("org/pickle", "org/pickle has no safetensors weights"),
        ("org/huge", "org/huge needs 30000000.0 GB more"),
        ("org/missing", "There is no model org/missing on the hub"),
        ("org/private", "There is no model org/private on the hub, or it is private"),
        ("org/gated", "accept its licence at {url}/org/gated, then run `hf auth login`."),
        ("org/broken", "The hub answered 503 for org/broken; try again later."),
    ],
)
def test_what_cannot_be_had_is_told_in_one_sentence(
    outcomes: dict[str, Outcome], hub: FakeHub, model: str, sentence: str
) -> None:
    error = outcomes[model]["error"]
    assert sentence.format(url=hub.url) in error
    assert "\n" not in error


def test_a_download_that_breaks_off_is_told(hub: FakeHub, tmp_path: Path) -> None:
    [outcome] = resolve_elsewhere(tmp_path, hub.url, "org/cut")
    assert "org/cut" in outcome["error"]
    assert "\n" not in outcome["error"]
    assert not list(tmp_path.rglob("snapshots/*/*.safetensors"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), "filled up while org/model@x was downloaded"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be written, so org/model@x cannot"),
        (OSError(errno.EROFS, "Read-only"), "cannot be written, so org/model@x cannot"),
        (
            OSError("Consistency check failed:\nsize"),
            "failed: Consistency check failed:; try again",
        ),
        (
            RuntimeError("\x1b[31mxet broke."),
            "Downloading org/model@x failed: \ufffd[31mxet broke; try",
        ),
        (RuntimeError(), "Downloading org/model@x failed: RuntimeError; try again."),
        (ConnectionResetError(), "cannot be reached, and org/model@x is not in the local cache"),
        (TimeoutError(), "cannot be reached, and org/model@x is not in the local cache"),
    ],
)
def test_failures_are_told_in_one_sentence(error: Exception, sentence: str) -> None:
    message = str(refusal("org/model", "org/model@x", error))
    assert sentence in message
    assert message.isprintable()


def test_a_token_without_access_is_told_apart(hub: FakeHub, tmp_path: Path) -> None:
    [outcome] = resolve_elsewhere(tmp_path, hub.url, "org/gated", HF_TOKEN="hf_x")
    assert outcome["error"].endswith(
        f"your token has no access: accept its licence at {hub.url}/org/gated."
    )


@pytest.fixture(scope="module")
def closed_port() -> Iterator[str]:
    """An address that refuses connections: bound, so that nobody else takes it, not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_without_a_connection_the_cache_serves(
    outcomes: dict[str, Outcome], home: Path, closed_port: str
) -> None:
    cached, absent = resolve_elsewhere(home, closed_port, "org/model", "org/other")
    assert cached["folder"] == outcomes["org/model"]["folder"]
    assert f"{closed_port} cannot be reached, and org/other is not in" in absent["error"]


def test_offline_the_cache_serves_and_nothing_is_asked(
    outcomes: dict[str, Outcome], home: Path, hub: FakeHub
) -> None:
    before = len(hub.requests)
    cached, absent = resolve_elsewhere(home, hub.url, "org/model", "org/other", HF_HUB_OFFLINE="1")
    assert cached["folder"] == outcomes["org/model"]["folder"]
    assert "forbids downloading it" in absent["error"]
    assert len(hub.requests) == before


def test_a_cache_that_cannot_be_made_is_told(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    [outcome] = resolve_elsewhere(tmp_path / "file", hub.url, "org/model")
    assert outcome["error"].startswith("ModelNotFoundError: Downloading org/model failed: ")
