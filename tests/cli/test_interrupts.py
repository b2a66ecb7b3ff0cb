"""Ctrl-C at every moment: exit code 130, no traceback, and what was printed stays printed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.cli.terminal import in_terminal

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "checkpoints" / "m_qwen3"


def _read_until(stream: IO[str], text: str) -> None:
    seen = ""
    while text not in seen:
        piece = stream.readline()
        assert piece, f"{text!r} never came: {seen[-2000:]}"
        seen += piece


@pytest.mark.parametrize(
    "moment",
    [
        "localfp4.cli.entry",
        "localfp4.checkpoint.hub",
        "numpy._core.multiarray",
        "torch._C",
        "torch.nn.modules",
        "localfp4.engine.engine",
    ],
)
def test_while_importing(moment: str, real_cli: "CommandLine") -> None:
    """The import log tells the moment, so no sleep has to guess it."""
    python, *arguments = real_cli.command
    real_cli.command = [python, "-X", "importtime", *arguments]
    with real_cli.start("run", str(CHECKPOINT), "hi", "--ctx", "64") as process:
        assert process.stderr is not None
        _read_until(process.stderr, f" {moment}\n")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130, rest[-2000:]
        assert "Traceback" not in rest


def test_while_an_answer_is_printed(cli: "CommandLine") -> None:
    with cli.start("run", cli.model("echo"), "repeat 100000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5) == "again"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().endswith("\n")
        assert process.stderr.read() == ""
        assert process.wait() == 130


def test_while_waiting_for_piped_input(cli: "CommandLine") -> None:
    with cli.start("run", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        _wait_until_reading(process.pid)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 130


def _wait_until_reading(pid: int) -> None:
    """Wait until the process sleeps in ``read`` on its standard input, where Linux tells that."""
    syscall = Path(f"/proc/{pid}/syscall")
    if not syscall.exists():
        pytest.skip("needs /proc/PID/syscall")
    while not syscall.read_text(encoding="ascii").startswith("0 0x0 "):
        os.sched_yield()


def test_plain_chat_stops_the_answer_first_and_quits_when_idle(cli: "CommandLine") -> None:
    arguments = ["chat", cli.model("echo"), "--ephemeral"]
    with cli.start(*arguments, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("repeat 100000\n")
        process.stdin.flush()
        assert process.stdout.read(11) == "again again"
        process.send_signal(signal.SIGINT)
        assert set(process.stdout.readline().split()) <= {"again"}
        process.stdin.write("turns?\n")
        process.stdin.flush()
        context = process.stdout.readline()
        assert context.startswith("user=repeat 100000 assistant=again again")
        assert context.endswith("user=turns?\n")
        _wait_until_reading(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 130


def test_the_key_in_a_terminal_during_run(cli: "CommandLine") -> None:
    with in_terminal(cli, "run", cli.model("echo"), "repeat 100000") as (process, terminal):
        terminal.wait_for(b"again again")
        terminal.type(b"\x03")
        assert b"Traceback" not in terminal.rest()
        assert process.wait() == 130


def test_the_key_in_a_terminal_reaches_the_engine_too_and_does_not_kill_it(
    cli: "CommandLine",
) -> None:
    arguments = ["chat", cli.model("echo"), "--plain", "--ephemeral"]
    with in_terminal(cli, *arguments) as (process, terminal):
        terminal.wait_for(b"> ")
        terminal.type(b"repeat 100000\n")
        terminal.wait_for(b"again again")
        terminal.type(b"\x03")
        terminal.wait_for(b"> ")
        terminal.type(b"alive?\n")
        terminal.wait_for(b"\nalive?")
        terminal.wait_for(b"> ")
        terminal.type(b"\x03")
        assert b"Traceback" not in terminal.rest()
        assert process.wait() == 130
