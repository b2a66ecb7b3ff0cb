"""The order of what is queued on a GPU's streams, with streams that only keep a log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from localfp4.runner.lanes import CudaLane, DirectLane, make_lane

DEVICE = torch.device("cuda:0")


class Gpu:
    """What stands in for torch.cuda."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.passed = False
        self.active = "steps"
        gpu = self

        class Stream:
            name = "beside"

            def __init__(self, device: torch.device) -> None:
                assert device == DEVICE

            def wait_stream(self, other: Any) -> None:
                gpu.log.append(f"{self.name} waits for {other.name}")

        class Steps:
            name = "steps"

        class Event:
            def record(self, stream: Any) -> None:
                gpu.log.append(f"event on {stream.name}")

            def query(self) -> bool:
                return gpu.passed

        self.Stream, self.Event = Stream, Event
        self.steps = Steps()

    def current_stream(self, device: torch.device) -> Any:
        assert device == DEVICE
        return self.steps

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.active = stream.name
        yield
        self.active = "steps"


class Logged(torch.Tensor):
    """A tensor that logs on which stream it is written, and that it is not waited for."""

    gpu: Gpu

    def copy_(self, src: torch.Tensor, non_blocking: bool = False) -> "Logged":
        assert non_blocking
        self.gpu.log.append(f"copy on {self.gpu.active}")
        return self


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    stand_in = Gpu()
    for name in ("Stream", "Event", "current_stream", "stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(stand_in, name))
    monkeypatch.setattr(Logged, "gpu", stand_in, raising=False)
    return stand_in


def test_copies_wait_for_the_steps_before_them_and_no_step_waits_for_copies(gpu: Gpu) -> None:
    lane = make_lane(DEVICE)
    assert isinstance(lane, CudaLane)
    slot = torch.zeros(2).as_subclass(Logged)
    pending = lane.copy([(torch.ones(2), slot), (torch.ones(2), slot)])
    assert gpu.log == [
        "beside waits for steps",
        "copy on beside",
        "copy on beside",
        "event on beside",
    ]
    assert not pending.is_done()
    gpu.passed = True
    assert pending.is_done()


def test_maps_are_written_and_counts_fetched_among_the_steps(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(*_: object, pin_memory: bool, **__: object) -> Logged:
        assert pin_memory
        return torch.zeros(2, dtype=torch.int32).as_subclass(Logged)

    lane = make_lane(DEVICE)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    lane.write(torch.zeros(2, dtype=torch.int32).as_subclass(Logged), [1, -1])
    monkeypatch.setattr(torch, "empty", empty)
    _, pending = lane.fetch(torch.ones(2, dtype=torch.int32))
    assert gpu.log == ["copy on steps", "copy on steps", "event on steps"]
    assert not pending.is_done()


def test_without_a_gpu_everything_is_done_at_once() -> None:
    lane = make_lane(torch.device("cpu"))
    assert isinstance(lane, DirectLane)
    source, slot = torch.arange(3), torch.zeros(3, dtype=torch.int64)
    assert lane.copy([(source, slot)]).is_done()
    assert slot.tolist() == [0, 1, 2]
    found, pending = lane.fetch(slot)
    lane.write(slot, [7, 8, 9])
    assert pending.is_done()
    assert found.tolist() == [0, 1, 2]
    assert slot.tolist() == [7, 8, 9]
