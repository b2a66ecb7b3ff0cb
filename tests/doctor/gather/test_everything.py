"""All areas: whatever one does, the others are told."""

import _thread
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4.doctor.facts import Facts, GpuFacts, TorchFacts, TritonFacts
from localfp4.doctor.gather import everything
from localfp4.doctor.gather.asking import Asking
from localfp4.doctor.gather.everything import gather
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.doctor.gather.variables import telling_variables
from tests.doctor.gather.computers import linux
from tests.telemetry.fake_nvml import install

CARD = GpuFacts(1, "NVIDIA GeForce RTX 4090", 89, 24 * 2**30, 20 * 2**30, is_chosen=True)
TORCH = TorchFacts(version="2.13.0+cu130", cuda="13.0", sees_gpus=1)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, and there is no driver."""
    install(monkeypatch, None)
    monkeypatch.setattr(everything, "torch_facts", lambda around: TORCH)
    monkeypatch.setattr(everything, "triton_facts", lambda around, device: TritonFacts())


def gathered(root: Path, *, tries_kernels: bool = False) -> tuple[list[str], Facts]:
    told = list(gather(asks_network=False, tries_kernels=tries_kernels, around=linux(root)))
    facts = told.pop()
    assert isinstance(facts, Facts)
    return [str(step) for step in told], facts


def test_steps_come_first_and_the_facts_last(tmp_path: Path) -> None:
    steps, facts = gathered(tmp_path)
    assert "the system" in steps
    assert facts.system.kind == "linux"
    assert facts.torch == TORCH
    assert facts.gaps == ()


def test_an_area_that_raises_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a strange computer")

    for area in ("system_facts", "python_facts", "driver_facts", "cache_facts", "hub_facts"):
        monkeypatch.setattr(everything, area, broken)
    _, facts = gathered(tmp_path)
    assert facts.gaps == tuple(
        f"{area}: RuntimeError: a strange computer"
        for area in ("system", "Python", "driver", "cache", "hub")
    )
    assert facts.system.kind == "linux"
    assert facts.python.localfp4
    assert facts.torch == TORCH


def test_an_area_that_hangs_is_left_behind() -> None:
    asking, ended = Asking(), threading.Event()
    try:
        assert asking.get("cache", lambda: ended.wait(60), False, limit_s=0.01) is False
        assert asking.gaps == {"cache": "no answer within 0.01 s"}
        assert asking.get("hub", lambda: "answer", "") == "answer"
    finally:
        ended.set()


def test_ctrl_c_lets_a_terminal_get_its_mode_back() -> None:
    restored = threading.Event()

    def ask() -> None:
        try:
            _thread.interrupt_main()
            threading.Event().wait(0.05)
        finally:
            restored.set()

    with pytest.raises(KeyboardInterrupt):
        Asking().get("terminal", ask, None)
    assert restored.is_set()


@pytest.mark.parametrize(
    ("torch", "gpus", "tries_kernels", "expected"),
    [
        (TORCH, (CARD,), True, ("cuda:0", "1")),
        (TORCH, (CARD,), False, (None, None)),
        (TORCH, (replace(CARD, is_chosen=False),), True, (None, None)),
        (replace(TORCH, sees_gpus=0), (CARD,), True, (None, None)),
        (replace(TORCH, error="no kernel image is available"), (CARD,), True, (None, None)),
        (TORCH, (), True, (None, None)),
    ],
)
def test_kernels_are_tried_on_the_card_that_would_be_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torch: TorchFacts,
    gpus: tuple[GpuFacts, ...],
    tries_kernels: bool,
    expected: tuple[str | None, str | None],
) -> None:
    tried = []

    def triton_facts(around: Surroundings, device: str | None) -> TritonFacts:
        tried.append((device, around.environ.get("CUDA_VISIBLE_DEVICES")))
        return TritonFacts()

    monkeypatch.setattr(everything, "torch_facts", lambda around: torch)
    monkeypatch.setattr(everything, "card_facts", lambda around: gpus)
    monkeypatch.setattr(everything, "triton_facts", triton_facts)
    gathered(tmp_path, tries_kernels=tries_kernels)
    assert tried == [expected]


def test_a_configuration_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "config.toml"
    broken.write_text("[chat\n", encoding="utf-8")
    monkeypatch.setenv("LOCALFP4_CONFIG", str(broken))
    _, facts = gathered(tmp_path)
    assert str(broken) in facts.settings_error
    assert facts.gaps == ()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HF_TOKEN", "hf_secret0123456789", "(set)"),
        ("LOCALFP4_API_KEY", "sk-secret", "(set)"),
        ("HF_TOKEN_PATH", "/keys/hf", "/keys/hf"),
        ("CUDA_VISIBLE_DEVICES", "0,1", "0,1"),
        ("CUDA_VISIBLE_DEVICES", "", ""),
        ("HF_ENDPOINT", "https://hf-mirror.com", "https://hf-mirror.com"),
        ("HTTPS_PROXY", "http://jane:geheim@proxy:3128", "http://…@proxy:3128"),
        ("https_proxy", "http://proxy:3128", "http://proxy:3128"),
        ("all_proxy", "socks5h://jane:ge/h@im@proxy:1080", "socks5h://…@proxy:1080"),
        ("HTTP_PROXY", "jane:geheim@proxy:3128", "…@proxy:3128"),
        ("HF_ENDPOINT", "https://jane:geheim@mirror", "https://…@mirror"),
    ],
)
def test_variables_without_secrets(name: str, value: str, expected: str) -> None:
    assert telling_variables({name: value}) == {name: expected}


def test_variables_of_no_concern_are_left_out() -> None:
    environ = {"HOME": "/home/jane", "AWS_SECRET_ACCESS_KEY": "x", "OPENAI_API_KEY": "sk-1"}
    assert telling_variables(environ) == {}
