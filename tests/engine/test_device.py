"""Which device an engine takes, on computers with none, one and several GPUs."""

import os
from types import SimpleNamespace

import pytest
import torch

from localfp4.config import EngineConfig
from localfp4.engine import device as module
from localfp4.engine.device import choice_of_several, choose_device
from localfp4.engine.phases import Phases
from localfp4.engine.planned import plan_model
from localfp4.errors import RequestError
from localfp4.telemetry.gpus import Gpu

GIB = 2**30
# As the driver counts: a small card for the display comes before the large one.
KNOWN = [
    Gpu("NVIDIA GeForce RTX 4060", "GPU-0a", 8 * GIB, 6 * GIB, 89, True, index=0),
    Gpu("NVIDIA GeForce RTX 4090", "GPU-1a", 24 * GIB, 23 * GIB, 89, False, index=1),
]


def properties(name: str, uuid: str, gib: int, capability: tuple[int, int]) -> SimpleNamespace:
    major, minor = capability
    return SimpleNamespace(name=name, uuid=uuid, total_memory=gib * GIB, major=major, minor=minor)


@pytest.fixture(autouse=True)
def _two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setattr(module, "gpus", lambda: KNOWN)
    show(
        monkeypatch,
        properties("NVIDIA GeForce RTX 4060", "0a", 8, (8, 9)),
        properties("NVIDIA GeForce RTX 4090", "1a", 24, (8, 9)),
    )


def show(monkeypatch: pytest.MonkeyPatch, *shown: SimpleNamespace) -> None:
    """Let torch see these GPUs, in this order."""

    def of(device: torch.device | int) -> SimpleNamespace:
        return shown[device if isinstance(device, int) else device.index]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(shown))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(shown))
    monkeypatch.setattr(torch.cuda, "get_device_properties", of)


@pytest.mark.parametrize(
    ("device", "index"), [(None, 1), ("cuda", 1), ("cuda:0", 0), ("cuda:1", 1)]
)
def test_the_best_is_taken_unless_one_is_named(device: str | None, index: int) -> None:
    assert choose_device(EngineConfig("m", device=device)) == torch.device("cuda", index)


def test_torch_may_count_in_another_order_than_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    show(
        monkeypatch,
        properties("NVIDIA GeForce RTX 4090", "1a", 24, (8, 9)),
        properties("NVIDIA GeForce RTX 4060", "0a", 8, (8, 9)),
    )
    assert choose_device(EngineConfig("m")).index == 0


def test_without_the_driver_torch_tells_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", list)
    assert choose_device(EngineConfig("m")).index == 1


def test_where_kernels_run_on_none_the_first_is_taken_and_refused_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "gpus", list)
    show(monkeypatch, properties("NVIDIA GeForce GTX 1080", "", 8, (6, 1)))
    assert choose_device(EngineConfig("m")) == torch.device("cuda", 0)


def test_gpus_are_counted_as_the_driver_does_unless_the_user_has_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    choose_device(EngineConfig("m"))
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    choose_device(EngineConfig("m"))
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:2", r"no GPU 'cuda:2'; the last one here is cuda:1\."),
        ("cuda:one", r"no device 'cuda:one'; use cpu, cuda or cuda:0\."),
        ("gpu", r"no device 'gpu'; use cpu, cuda or cuda:0\."),
        ("mps", r"Device 'mps' is not supported; use cpu or cuda\."),
    ],
)
def test_a_device_that_is_not_there(device: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        choose_device(EngineConfig("m", device=device))


def test_a_gpu_that_pytorch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch)
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    with pytest.raises(RequestError, match="This PyTorch sees no CUDA device"):
        choose_device(EngineConfig("m", device="cuda"))
    assert choose_device(EngineConfig("m", threads=1)).type == "cpu"


def test_the_choice_is_named_where_nobody_made_it() -> None:
    large = torch.device("cuda", 1)
    words = "GeForce RTX 4090, the best of 2; --device cuda:0 takes the other"
    assert choice_of_several(EngineConfig("m"), large) == words
    assert choice_of_several(EngineConfig("m", device="cuda"), large) == words
    assert choice_of_several(EngineConfig("m", device="cuda:1"), large) == ""
    assert choice_of_several(EngineConfig("m"), torch.device("cpu")) == ""


def test_loading_begins_with_the_choice() -> None:
    first = next(plan_model(EngineConfig("m"), Phases()))
    assert first.stage.startswith("GeForce RTX 4090, the best of 2; ")


def test_one_gpu_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, properties("NVIDIA GeForce RTX 4090", "1a", 24, (8, 9)))
    assert choice_of_several(EngineConfig("m"), torch.device("cuda", 0)) == ""
