"""Which device of this computer a plan is made for: the one that the engine would take."""

import pytest

from localfp4.errors import RequestError
from localfp4.models import here as module
from localfp4.models.here import machine_here
from localfp4.telemetry.gpus import Gpu

GIB = 2**30
# As nvidia-smi counts: a card that drives the display, an old one, and the one to take.
CARDS = [
    Gpu("NVIDIA GeForce RTX 4060", "GPU-0a", 8 * GIB, 6 * GIB, 89, True, index=0),
    Gpu("NVIDIA GeForce GTX 1080", "GPU-1a", 8 * GIB, 8 * GIB, 61, False, index=1),
    Gpu("NVIDIA GeForce RTX 3090", "GPU-2a", 24 * GIB, 23 * GIB, 86, False, index=2),
]


@pytest.fixture(autouse=True)
def _three_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", lambda: CARDS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "device", "name", "free"),
    [
        ("0,1,2", None, "GeForce RTX 3090", 23),
        ("0,1,2", "cuda", "GeForce RTX 3090", 23),
        ("0,1,2", "cuda:0", "GeForce RTX 4060", 6),
        ("2,0", "cuda:1", "GeForce RTX 4060", 6),
        ("1,0", None, "GeForce RTX 4060", 6),
        ("GPU-0a", "cuda", "GeForce RTX 4060", 6),
    ],
)
def test_the_card_is_the_one_that_the_engine_takes(
    visible: str, device: str | None, name: str, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found, machine = machine_here(device)
    assert (found, machine.free_bytes) == (name, free * GIB)


@pytest.mark.parametrize("visible", ["", "1"])
def test_a_hidden_card_and_an_old_one_leave_the_cpu(
    visible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_here(None)[1].device == "cpu"
    with pytest.raises(RequestError, match="There is no GPU here that kernels run on"):
        machine_here("cuda")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:3", r"There is no GPU 'cuda:3'; the last one here is cuda:2\."),
        ("cuda:x", r"There is no device 'cuda:x'; use cpu, cuda or cuda:0\."),
        ("mps", r"There is no device 'mps'; use cpu, cuda or cuda:0\."),
    ],
)
def test_a_device_that_is_not_there(device: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        machine_here(device)


def test_the_choice_among_several_is_told_unless_one_was_asked_for() -> None:
    others = "GeForce RTX 3090, the best of 3; --device cuda:0 or cuda:1 takes another"
    assert machine_here(None)[1].choice == machine_here("cuda")[1].choice == others
    assert machine_here("cuda:2")[1].choice == ""
