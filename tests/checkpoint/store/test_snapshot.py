"""Downloads from a hub on this machine, each in a process that sees only it and its own cache."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.store.refusals import refusal
from tests.checkpoint.fake_hub import COMMIT, EXPIRED, TOKEN, FakeHub
from tests.checkpoint.store.hub_process import RESOLVE, Outcome, resolve_elsewhere, run_elsewhere

BIG = 1024 * 1024

TOKENS = {
    "hf_x org/gated": "your token has no access: accept its licence at {url}/org/gated.",
    "hf_x org/missing": "There is no model org/missing on the hub, or your token may not",
    f"{EXPIRED} org/gated": "not know your token: set HF_TOKEN to a valid one, or unset it.",
    f"{TOKEN} org/gated": None,
}
"""Tokens with a model, and what is told; the last has accepted the licence."""


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
        "org/gated": model,
        "org/relabelled": {"model-Q4_K_M.gguf": b"GGUF"},
        "org/escapes": model | {"..\\..\\evil.json": b"{}", "C:evil.json": b"{}"},
    }
    with FakeHub(
        repositories, claimed_sizes={"org/huge": 10**16}, pause_s=0.03
    ).running() as running:
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
        "org/crowded",
        "org/relabelled",
        "org/escapes",
    ]
    with_tokens = [part for both in TOKENS for part in f"HF_TOKEN={both}".split()]
    found = resolve_elsewhere(home, hub.url, *models, *with_tokens)
    return dict(zip([*models, *TOKENS], found, strict=True))


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
        ("org/huge", "org/huge needs 30000.0 TB more"),
        ("org/missing", "There is no model org/missing on the hub"),
        ("org/private", "There is no model org/private on the hub, or it is private"),
        ("org/gated", "accept its licence at {url}/org/gated, then run `hf auth login`."),
        ("org/broken", "The hub answered 503 for org/broken; try again later."),
        ("org/crowded", "The hub is asked too much from here (429) for org/crowded; try again"),
        ("org/relabelled", "org/relabelled has GGUF weights, and localfp4 reads safetensors"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_sentence(
    outcomes: dict[str, Outcome], hub: FakeHub, model: str, sentence: str
) -> None:
    error = outcomes[model]["error"]
    assert sentence.format(url=hub.url) in error
    assert "\n" not in error


def test_names_that_are_paths_elsewhere_are_left_out(outcomes: dict[str, Outcome]) -> None:
    names = {path.name for path in Path(outcomes["org/escapes"]["folder"]).iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}


HUB_ITSELF = """
from huggingface_hub import scan_cache_dir, snapshot_download
folder = snapshot_download("org/model", local_files_only=True)
[found] = [repo for repo in scan_cache_dir().repos if repo.repo_id == "org/model"]
[revision] = found.revisions
print(json.dumps({"folder": folder, "files": sorted(f.file_name for f in revision.files)}))
"""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), "filled up while org/model@x was downloaded"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be written, so org/model@x cannot"),
        (OSError(errno.EROFS, "Read-only"), "cannot be written, so org/model@x cannot"),
        (OSError("CERTIFICATE_VERIFY_FAILED"), "is not trusted here"),
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


def test_what_windows_says_of_long_paths_and_open_files_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "C:\\" + "x" * 260)
    assert "failed: [Errno 2]" in str(refusal("org/model", "org/model", gone))
    monkeypatch.setattr("localfp4.checkpoint.store.refusals.sys.platform", "win32")
    assert r"set HF_HOME to a short one such as C:\hf" in str(
        refusal("org/model", "org/model", gone)
    )
    held = PermissionError(errno.EACCES, "used by another process")
    held.winerror = 32  # type: ignore[attr-defined]  # which only Windows knows
    assert "has a file of org/model open" in str(refusal("org/model", "org/model", held))


@pytest.mark.parametrize("asked", TOKENS)
def test_tokens_without_access_are_told_apart(
    outcomes: dict[str, Outcome], hub: FakeHub, asked: str
) -> None:
    sentence, error = TOKENS[asked], outcomes[asked]["error"]
    assert error is None if sentence is None else sentence.format(url=hub.url) in error


@pytest.fixture(scope="module")
def closed_port() -> Iterator[str]:
    """An address that refuses connections: bound, so that nobody else takes it, not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def without_the_hub(
    outcomes: dict[str, Outcome], home: Path, hub: FakeHub, closed_port: str
) -> list[Outcome]:
    """Ask for a model that is here and for another, without a connection and offline."""
    before, both = len(hub.requests), ("org/model", "org/other")
    asked = (f"ENDPOINT={closed_port}", *both, "HF_HUB_OFFLINE=1", *both)
    found = run_elsewhere(RESOLVE + HUB_ITSELF, home, hub.url, *asked)
    assert outcomes
    assert len(hub.requests) == before
    return found


def test_without_a_connection_the_cache_serves(
    outcomes: dict[str, Outcome], without_the_hub: list[Outcome], closed_port: str
) -> None:
    cached, absent = without_the_hub[:2]
    assert cached["folder"] == outcomes["org/model"]["folder"]
    assert f"{closed_port} cannot be reached, and org/other is not in" in absent["error"]


def test_offline_the_cache_serves(
    outcomes: dict[str, Outcome], without_the_hub: list[Outcome]
) -> None:
    cached, absent = without_the_hub[2:4]
    assert cached["folder"] == outcomes["org/model"]["folder"]
    assert "forbids downloading it" in absent["error"]


def test_huggingface_hub_finds_what_was_downloaded(
    outcomes: dict[str, Outcome], without_the_hub: list[Outcome]
) -> None:
    folder = outcomes["org/model"]["folder"]
    assert without_the_hub[4] == {
        "folder": folder,
        "files": sorted(path.name for path in Path(folder).iterdir()),
    }


@pytest.mark.slow
def test_a_cache_that_cannot_be_made_is_told(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    [outcome] = resolve_elsewhere(tmp_path / "file", hub.url, "org/model")
    assert outcome["error"].endswith("cannot be downloaded; set HF_HOME to a folder of yours.")
