"""vLLM's process: what passes through, and how it ends. A script stands in for it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localfp4.errors import UserError
from localfp4.server.handover.command import Spread
from localfp4.server.handover.installed import find_vllm, require_ray
from localfp4.server.handover.run import run

FAKE = [sys.executable, str(Path(__file__).with_name("fake_vllm.py"))]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="vLLM runs on Linux")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


def ended(
    *arguments: str, port: int, number: signal.Signals | None = None
) -> tuple[int, list[str]]:
    """Run until it ends; send a signal to this process once it answers."""
    steps = run([*FAKE, *arguments], {"VLLM_API_KEY": "secret"}, f"http://127.0.0.1:{port}")
    said: list[str] = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return end.value, said
        if number is not None:
            os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 3)], ids=lambda one: str(one)
)
def test_it_is_waited_for_and_signals_are_passed_on(
    number: signal.Signals, code: int, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    result, said = ended("serve", "m", "--port", str(port), port=port, number=number)
    assert result == code
    (sentence,) = said
    assert sentence.startswith(f"vLLM answers at http://127.0.0.1:{port}/v1 after ")
    told = capfd.readouterr()
    assert told.out == f"INFO serve m --port {port}\nINFO ended by {number.name}\n"
    assert told.err == "key secret\n"
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("way", "code"), [("--fails", 7), ("--crashes", 128 + 9)])
def test_its_exit_code_is_ours(way: str, code: int, port: int) -> None:
    assert ended(way, port=port) == (code, [])


def test_whoever_stops_waiting_ends_it(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    steps = run([*FAKE, "--port", str(port)], {}, f"http://127.0.0.1:{port}")
    next(steps)
    steps.close()
    assert "ended by SIGTERM" in capfd.readouterr().out


def test_a_signal_that_comes_while_it_is_started_is_kept_for_it(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def interrupted(*arguments: Any, **settings: Any) -> "subprocess.Popen[bytes]":
        process = start(*arguments, **settings)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    assert ended("--sleeps", port=port) == (128 + signal.SIGTERM, [])


def test_what_cannot_be_started_is_a_sentence(port: int) -> None:
    with pytest.raises(UserError, match=r"^/nowhere/vllm cannot be started: No such file"):
        next(run(["/nowhere/vllm"], {}, f"http://127.0.0.1:{port}"))


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for platform, words in [
        ("linux", "pipx install vllm"),
        ("win32", "WSL 2"),
        ("darwin", "a computer with Linux"),
    ]:
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(UserError, match=words):
            find_vllm()
    command = tmp_path / "vllm"
    command.touch(0o755)
    assert find_vllm() == str(command)
    require_ray(Spread(2, gpus_here=2))
    with pytest.raises(
        UserError, match=r"4 GPUs are asked for, and 2 are here: .*`pip install ray`"
    ):
        require_ray(Spread(4, gpus_here=2))
    (tmp_path / "ray").touch(0o755)
    require_ray(Spread(4, gpus_here=2))
