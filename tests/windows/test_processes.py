"""Programs that are started, signalled and ended as on Windows."""

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from localfp4.engine.children import kill_descendants
from localfp4.server.handover import run as handover
from localfp4.text import render_process
from localfp4_tui import editor, endings

_PATIENCE_S = 30.0
_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


def test_what_a_process_has_started_is_ended_and_it_is_not() -> None:
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        kill_descendants(process.pid)
        assert process.wait(_PATIENCE_S) == 0  # it waited for its child
        assert not child.is_running()
    kill_descendants(process.pid)


def test_ctrl_break_ends_the_chat_and_leaves_it_the_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a console that is closed, Python does not hear: its last screen must still be drawn."""
    number = getattr(signal, "SIGBREAK", signal.SIGTERM)
    monkeypatch.setattr(signal, "SIGBREAK", number, raising=False)
    monkeypatch.setattr(endings, "_let_go_of_the_terminal", lambda: pytest.fail("let go"))
    monkeypatch.delattr(signal, "SIGHUP", raising=False)

    async def told() -> int:
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ends = endings.Endings(asked.set_result)
        try:
            signal.raise_signal(number)
            return await asyncio.wait_for(asked, _PATIENCE_S)
        finally:
            ends.leave()

    assert asyncio.run(told()) == number


class Program:
    """A program on Windows, which takes no signals: ``Popen.send_signal`` raises there."""

    def __init__(self) -> None:
        self.is_terminated = False

    def send_signal(self, number: int) -> None:
        raise ValueError(f"Unsupported signal: {number}")

    def terminate(self) -> None:
        self.is_terminated = True


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_vllm_gets_ctrl_c_from_the_console_and_is_ended_by_the_rest(
    number: int, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "os", SimpleNamespace(name="nt"))
    early, late = Program(), Program()
    for program in (early, late):
        signals = handover._Signals()
        if program is early:
            signals.take(number, None)
        signals.pass_to(cast(Any, program))
        if program is late:
            signals.take(number, None)
        assert program.is_terminated is ends


def test_an_editor_that_is_a_batch_file_is_started_by_its_whole_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``EDITOR=code --wait``: Windows itself finds ``code.exe`` only, and there is ``code.cmd``."""
    batch = r"C:\Programs\bin\code.CMD"
    started: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> "subprocess.CompletedProcess[bytes]":
        started.append(command)
        Path(command[-1]).write_text("as it was left", encoding="utf-8")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(shutil, "which", {"code": batch}.get)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = editor.editor_command({"EDITOR": "code --wait"})
    assert editor.write_in_editor("text", command) == "as it was left"
    assert started[0][:2] == [batch, "--wait"]


def test_templates_are_rendered_by_the_python_behind_a_virtual_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of the environment starts another one, which the job with the limits could miss."""
    monkeypatch.setattr(sys, "_base_executable", r"C:\Python311\python.exe", raising=False)
    assert render_process._interpreter() == sys.executable
    monkeypatch.setattr(sys, "platform", "win32")
    assert render_process._interpreter() == r"C:\Python311\python.exe"
