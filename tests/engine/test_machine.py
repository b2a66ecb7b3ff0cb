"""What the memory plan is told of a device."""

import os
from types import SimpleNamespace

import pytest
import torch

from localfp4.engine import machine as module
from localfp4.engine.machine import machine_of
from localfp4.telemetry.gpus import Gpu
from localfp4.telemetry.holder import Holder

GIB = 2**30


def test_a_cpu_leaves_a_tenth_to_others() -> None:
    found = machine_of(torch.device("cpu"))
    assert (found.device, found.capability, found.bandwidth) == ("cpu", None, None)
    assert 0 < found.free_bytes <= found.total_bytes
    assert found.reserve_bytes == int(found.free_bytes * 0.1)


@pytest.mark.parametrize(
    ("drives_display", "link", "reserve"), [(True, 7e9, GIB), (False, 7e9, 0), (None, None, GIB)]
)
def test_a_card_is_looked_up_by_name_and_asked_by_uuid(
    drives_display: bool | None,
    link: float | None,
    reserve: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    properties = SimpleNamespace(name="NVIDIA GeForce RTX 4070", major=8, minor=9, uuid="8f3a-77")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (9 * GIB, 12 * GIB))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    known = Gpu(properties.name, "GPU-8f3a-77", 12 * GIB, 9 * GIB, 89, drives_display, link)
    monkeypatch.setattr(module, "gpu_with_uuid", {"8f3a-77": known}.get)
    holders = {"8f3a-77": [Holder(31, "chrome", GIB), Holder(os.getpid(), "python", GIB)]}
    monkeypatch.setattr(module, "memory_holders", holders.get)
    found = machine_of(torch.device("cuda", 0))
    assert (found.free_bytes, found.total_bytes) == (9 * GIB, 12 * GIB)
    assert (found.capability, found.bandwidth) == (89, 504e9)
    assert found.link == pytest.approx(link or 31.5e9, rel=1e-3)
    assert found.reserve_bytes == reserve
    assert found.ram_bytes > 0
    assert found.others == ("chrome",), "not this process"
    assert found.has_context, "asking for the free memory made one"
