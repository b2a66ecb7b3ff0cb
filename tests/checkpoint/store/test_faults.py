"""What can go wrong on the way from the hub: a model per fault, all in one process."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint.fake_hub import COMMIT, TOKEN, FakeHub, etag
from tests.checkpoint.hub_fault import Fault
from tests.checkpoint.store.hub_process import Outcome, repository_in, run_elsewhere

WEIGHTS = "model.safetensors"
CONFIG = b'{"model_type": "qwen3"}'
SIZE = 90_000

FETCH = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from localfp4.checkpoint.store.connection import Patience
from localfp4.checkpoint.store.snapshot import HubModel, fetch
from localfp4.errors import UserError

def outcome(model):
    folder, error = None, None
    steps = fetch(HubModel(model), patience=Patience(attempts=3, pause_s=0))
    try:
        while True:
            next(steps)
    except StopIteration as end:
        folder = str(end.value)
    except UserError as refused:
        error = str(refused)
    return json.dumps({"folder": folder, "error": error})

with ThreadPoolExecutor(4) as crew:
    for line in crew.map(outcome, sys.argv[1:]):
        print(line)
"""

HEALED = {
    "cut": ([Fault(after=50_000)], [0, 50_000]),
    "cut-and-cut": ([Fault(after=n) for n in (10, 20, 30, 40)], [0, 10, 30, 60, 100]),
    "cut-unnoticed": ([Fault(after=5_000, tells_length=False)], [0, 5_000]),
    "stalled": ([Fault(after=1_000, stalls=True)], [0, 1_000]),
    "flipped": ([Fault(flips=10)], [0, 0]),
    "page": ([Fault(page=True)], [0, 0]),
    "page-in-the-middle": ([Fault(after=700), Fault(page=True)], [0, 700, 700]),
    "zipped": ([Fault(zips=True)], [0]),
    "zipped-range": ([Fault(after=700), Fault(zips=True)], [0, 700, 0]),
    "longer": ([Fault(extra=9)], [0, 0]),
    "longer-unnoticed": ([Fault(extra=9, tells_length=False)], [0, 0]),
    "range-ignored": ([Fault(after=700), Fault(ignores_range=True)], [0, 0]),
    "range-elsewhere": ([Fault(after=700), Fault(off_by=1)], [0, 700, 0]),
    "range-refused": ([Fault(after=700), Fault(status=416)], [0, 0]),
    "busy": ([Fault(status=503), Fault(status=429), Fault(after=800)], [0, 800]),
}
"""Faults, and where the sending of the weights began."""

REFUSED = {
    "silent": ([Fault(after=0)] * 3, "connection broke again and again while org/silent was"),
    "changing": ([Fault(flips=10)] * 2, "model.safetensors arrived twice with another hash"),
    "portal": ([Fault(page=True)] * 3, "something else arrived than model.safetensors; try"),
    "failing": ([Fault(status=500)] * 3, "The hub answered 500 for org/failing; try again later."),
    "no-way": (
        [Fault(after=700), Fault(status=416), Fault(status=416)],
        "The hub answered 416 for org/no-way; try again later.",
    ),
    "later": (
        [Fault(status=429, headers={"Retry-After": "3600"})],
        "The hub is asked too much from here (429) for org/later; try again in 60 minutes.",
    ),
    "forbidden": (
        [Fault(status=403, headers={"X-Error-Message": "Enable gated repositories."})],
        "The hub forbids org/forbidden to your token: Enable gated repositories; see",
    ),
}


def content(name: str) -> bytes:
    return random.Random(name).randbytes(SIZE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("hf")
    spoil_the_cache(home)
    return home


def spoil_the_cache(home: Path) -> None:
    """Leave what earlier attempts and power cuts leave."""
    for name, left in {
        "left-right": content("left-right"),
        "left-wrong": bytes(SIZE),
        "left-wrong-part": bytes(500),
        "left-too-long": content("left-too-long") + b"x",
        "left-part": content("left-part")[:777],
    }.items():
        blobs = repository_in(home, f"org/{name}").blobs
        blobs.mkdir(parents=True)
        (blobs / f"{etag(WEIGHTS, content(name))}.incomplete").write_bytes(left)
    refs = repository_in(home, "org/ref-alone").folder / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    for name in ("broken-link", "empty-blob"):
        store = repository_in(home, f"org/{name}")
        blob = store.blobs / etag(WEIGHTS, content(name))
        link = store.folder / "snapshots" / COMMIT / WEIGHTS
        link.parent.mkdir(parents=True)
        link.symlink_to(f"../../blobs/{blob.name}")
        blob.parent.mkdir()
        if name == "empty-blob":
            blob.touch()


SPOILT = {
    "left-right": [],
    "left-wrong": [0],
    "left-wrong-part": [500, 0],
    "left-too-long": [0],
    "left-part": [777],
    "ref-alone": [0],
    "broken-link": [0],
    "empty-blob": [0],
}
"""What was in the cache, and where the sending of the weights began."""


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    names = [*HEALED, *REFUSED, *SPOILT]
    hub = FakeHub(
        {f"org/{name}": {"config.json": CONFIG, WEIGHTS: content(name)} for name in names},
        faults={
            f"org/{name}/{WEIGHTS}": list(faults)
            for name, (faults, _) in (HEALED | REFUSED).items()
        },
        redirects=True,
        pause_s=0,
    )
    with hub.running():
        yield hub


@pytest.fixture(scope="module")
def outcomes(hub: FakeHub, home: Path) -> dict[str, Outcome]:
    names = [f"org/{name}" for name in hub.repositories]
    results = run_elsewhere(
        FETCH, home, hub.url, *hub.repositories, HF_TOKEN=TOKEN, HF_HUB_DOWNLOAD_TIMEOUT="1"
    )
    assert len(results) == len(names)
    return dict(zip(hub.repositories, results, strict=True))


@pytest.mark.parametrize("name", [*HEALED, *SPOILT])
def test_what_passes_is_lived_through(
    outcomes: dict[str, Outcome], hub: FakeHub, home: Path, name: str
) -> None:
    outcome = outcomes[f"org/{name}"]
    assert outcome["error"] is None
    assert (Path(outcome["folder"]) / WEIGHTS).read_bytes() == content(name)
    began = SPOILT[name] if name in SPOILT else HEALED[name][1]
    assert hub.starts(f"org/{name}/{WEIGHTS}") == began
    assert not list(repository_in(home, f"org/{name}").blobs.glob("*.incomplete"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_pass_is_told(outcomes: dict[str, Outcome], home: Path, name: str) -> None:
    error = outcomes[f"org/{name}"]["error"]
    assert REFUSED[name][1] in error
    assert error.isprintable()
    store = repository_in(home, f"org/{name}")
    assert not list(store.folder.glob(f"snapshots/*/{WEIGHTS}"))
    assert not (store.folder / "refs" / "main").exists()


def test_the_token_stays_with_the_hub(outcomes: dict[str, Outcome], hub: FakeHub) -> None:
    assert any(path.startswith("/cdn/") for path in hub.requests)
    assert hub.authorized_elsewhere == []
