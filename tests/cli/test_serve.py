"""``serve``, ``ps`` and ``stop``: what they print, what they refuse, and how servers end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from localfp4.cli.entry import run_command_line
from localfp4.cli.serve.listing import listed, open_registry
from localfp4.server.clients.configuration import CLIENTS
from localfp4.server.http.listening import listen
from localfp4.server.registry.registry import RunningServer
from localfp4.server.settings import ServerSettings
from tests.cli.terminal import in_terminal

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

FAKE_VLLM = Path(__file__).parents[1] / "server" / "handover" / "fake_vllm.py"
needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

PROCESS = 70000
"""Ids of processes that there are not begin here."""

Localfp4 = Callable[..., tuple[int, str, str]]


@pytest.fixture
def localfp4(
    cli: "CommandLine", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Localfp4:
    """The command line in this process; its list of servers is that of ``cli``."""
    for name, value in cli.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCALFP4_API_KEY", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command_line(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "prometheus_client", "llguidance"])
def test_what_is_not_installed_is_said(
    package: str, localfp4: Localfp4, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert localfp4("serve") == (
        2,
        "",
        f"✗ Serving needs {package}: run pip install 'localfp4[serve]' first.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "nonsense"], "Model 'nonsense' was not found"),
        (["serve", "--host", "0.0.0.0"], "give --api-key"),
        (["serve", "--host", "0.0.0.0", "--api-key", " "], "give --api-key"),
        (["serve", "--cors-origin", "*"], "name the pages"),
        (["serve", "--port", "70000"], "70000 is not in the range"),
        (["serve", "--request-timeout", "nan"], "nan is no finite number"),
        (["serve", "demo", "more"], "'more' is one argument too many"),
        (["serve", "--dry-run"], "--dry-run is for vLLM"),
        (["serve", "--tensor-parallel-size", "2"], "--tensor-parallel-size is for vLLM"),
        (["serve", "--for", "aider", "--port", "0"], "choose a --port instead of 0"),
        (["serve", "--draft", "small", "--speculate", "mtp"], "leave one of them out"),
        (["serve", "--engine", "vllm", "--port", "0"], "choose a --port instead of 0"),
        (["serve", "--engine", "vllm", "--allowed-host", "pc"], "--allowed-host has no equal"),
        (["serve", "--engine", "vllm", "--request-timeout", "9"], "--request-timeout has no equal"),
        (["serve", "--engine", "vllm", "demo", "--", "--port=1"], "give it before --."),
        (["stop"], "No server runs; `localfp4 serve MODEL` starts one."),
        (["stop", "demo", "--all"], "leave 'demo' or --all out"),
        (["stop", "--timeout", "nan"], "nan is no finite number"),
    ],
)
def test_what_contradicts_itself_or_cannot_be_is_refused(
    arguments: list[str], words: str, localfp4: Localfp4
) -> None:
    code, out, err = localfp4(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("✗ ")
    assert err.count("\n") == 1
    assert words in err


def test_a_port_in_use_is_refused_before_anything_is_loaded(localfp4: Localfp4) -> None:
    with listen(ServerSettings(port=0)) as listener:
        port = str(listener.getsockname()[1])
        for arguments in (["serve", "--port", port], ["serve", "--port", port, "--kv", "bf16"]):
            code, out, err = localfp4(*arguments)
            assert (code, out) == (2, "")
            assert f"port {port}: something else listens there" in err


@pytest.mark.parametrize("client", CLIENTS)
def test_configuration_names_the_server_and_starts_none(
    client: str, localfp4: Localfp4, cli: "CommandLine", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALFP4_API_KEY", "sesame")
    arguments = ["--host", "::1", "--port", "8001", "--served-name", "mine", "--for", client]
    code, out, err = localfp4("serve", "no/such-model", *arguments)
    assert (code, err) == (0, "")
    assert "http://[::1]:8001" in out
    assert "sesame" in out
    assert "mine" in out
    assert not (cli.home / "state").exists()


def test_the_command_of_vllm_is_printed_alone(localfp4: Localfp4) -> None:
    arguments = ["--engine", "vllm", "--dry-run", "--max-batch", "8", "--queue", "3"]
    code, out, err = localfp4("serve", *arguments, "--", "--seed", "7")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert out.startswith("vllm serve ")
    assert " --max-num-seqs 8 --max-num-queued-reqs 11 " in out
    assert out.endswith(" --seed 7\n")
    code, out, err = localfp4("serve", *arguments, "--host", "0.0.0.0", "--api-key", "sesame")
    assert "sesame" not in out
    assert err == (
        "note: The key is not on the command line, which others see: set VLLM_API_KEY to it.\n"
    )


def test_running_servers_are_listed(localfp4: Localfp4) -> None:
    assert localfp4("ps") == (0, "", "No server runs; `localfp4 serve MODEL` starts one.\n")
    assert localfp4("ps", "--json") == (0, "[]\n", "")
    odd = RunningServer(7, "a\x1b[31m\nb", "http://127.0.0.1:9", "vllm", 0.0)
    malformed = RunningServer(8, "c", "http://::1:80", "localfp4", 1.0)
    with listed(odd), listed(malformed):
        code, out, err = localfp4("ps")
        assert (code, err) == (0, "")
        heading, first, second = out.splitlines()
        assert heading.split() == ["PID", "MODEL", "ADDRESS", "ENGINE", "UP", "STATE"]
        assert "\x1b" not in first
        assert first.split()[-2:] == second.split()[-2:] == ["no", "answer"]
        told = json.loads(localfp4("ps", "--json")[1])
    assert [one["model"] for one in told] == [odd.model, "c"]
    assert told[0]["state"] == "no answer"


@contextmanager
def obedient(model: str, port: int) -> Iterator[None]:
    """List a server that ends when it is asked to, in a thread of its own."""
    is_up = threading.Event()
    is_over = threading.Event()

    def live() -> None:
        server = RunningServer(PROCESS + port, model, f"http://127.0.0.1:{port}", "localfp4", port)
        with listed(server) as membership:
            is_up.set()
            while not membership.stop_requested() and not is_over.wait(0.01):
                pass

    thread = threading.Thread(target=live)
    thread.start()
    assert is_up.wait(10)
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_one_of_several_is_stopped_by_any_of_its_names(localfp4: Localfp4) -> None:
    with ExitStack() as running:
        for port, name in enumerate(["small", "big", "small", "third", "fourth"], start=8001):
            running.enter_context(obedient(name, port))
        for which, where in [
            ("big", "big at http://127.0.0.1:8002"),
            ("8004", "third at http://127.0.0.1:8004"),
            (str(PROCESS + 8005), "fourth at http://127.0.0.1:8005"),
        ]:
            assert localfp4("stop", which) == (0, f"stopped {where}\n", "")
        for arguments, words in [
            ([], "2 servers could be meant: small at http://127.0.0.1:8001, small at "),
            (["small"], "name one by its port, or add --all."),
            (["big"], "No server is called 'big'; there are small at"),
        ]:
            code, out, err = localfp4("stop", *arguments)
            assert (code, out) == (2, "")
            assert words in err
        code, out, _ = localfp4("stop", "--all")
        assert (code, out.count("stopped small")) == (0, 2)
        assert localfp4("stop", "--all") == (0, "", "No server runs.\n")


def test_a_server_that_goes_on_is_told_of(localfp4: Localfp4) -> None:
    with listed(RunningServer(7, "demo", "http://127.0.0.1:9", "localfp4", 0.0)):
        code, out, err = localfp4("stop", "--timeout", "0")
    assert (code, out) == (2, "")
    assert "is still writing answers after 0 seconds; wait, or end process 7." in err


def test_where_no_list_can_be_kept_a_server_runs_nonetheless(
    localfp4: Localfp4, cli: "CommandLine", capsys: pytest.CaptureFixture[str]
) -> None:
    (cli.home / "state").write_text("in the way", encoding="utf-8")
    with listed(RunningServer(7, "demo", "http://127.0.0.1:9", "localfp4", 0.0)) as membership:
        assert not membership.stop_requested()
    err = capsys.readouterr().err
    assert err.startswith("note: `localfp4 ps` and `stop` will not know this server. ")
    assert open_registry().servers() == []


class Server:
    """A server that was started by the command line, and what it says on standard error."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def says(self, word: str) -> str:
        """Read on to a line that begins with a word."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith(word):
                return line
        raise AssertionError(f"{word!r} never came")

    def ends(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def serving(cli: "CommandLine", *arguments: str) -> Iterator[Server]:
    with cli.start("serve", *arguments) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@contextmanager
def asking(port: int, words: str) -> Iterator[HTTPResponse]:
    """Ask for an answer in pieces."""
    body = {"stream": True, "messages": [{"role": "user", "content": words}]}
    headers = {"Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as answer:
            yield answer


@needs_signals
def test_stopping_lets_the_answer_under_way_come_to_its_end(
    cli: "CommandLine", localfp4: Localfp4
) -> None:
    with serving(cli, cli.model("echo"), "--port", "0") as server:
        url = server.says("listening at ").split()[2].rstrip(",")
        ready = server.says("ready: ")
        assert "context" in ready
        assert server.says("OpenAI's API") == f"OpenAI's API: {url}/v1\n"
        assert server.says("Anthropic's API") == f"Anthropic's API: {url}\n"
        (told,) = json.loads(localfp4("ps", "--json")[1])
        assert (told["model"], told["url"], told["state"]) == ("echo", url, "ready")
        assert told["process_id"] == server.process.pid
        with asking(int(url.rpartition(":")[2]), "repeat 200") as answer:
            assert answer.readline().startswith(b"data: {")
            assert localfp4("stop", "echo") == (0, f"stopped echo at {url}\n", "")
            events = answer.read()
        assert b'"finish_reason":"stop"' in events
        assert events.endswith(b"data: [DONE]\n\n")
        code, out, err = server.ends()
    assert (code, out) == (0, "")
    assert err == "ending: answers under way come to their end; Ctrl-C ends them now\n"
    assert localfp4("ps", "--json") == (0, "[]\n", "")


@needs_signals
@pytest.mark.slow
def test_the_second_key_ends_answers_under_way(cli: "CommandLine") -> None:
    arguments = ["serve", cli.model("echo"), "--port", "0", "--drain-timeout", "1000"]
    with in_terminal(cli, *arguments) as (process, terminal):
        terminal.wait_for(b"listening at http://127.0.0.1:")
        port = int(terminal.take_until(b","))
        terminal.wait_for(b"ready: ")
        with asking(port, "repeat 100000") as answer:
            answer.readline()
            terminal.type(b"\x03")
            terminal.wait_for(b"Ctrl-C ends them now")
            terminal.type(b"\x03")
            assert b"Traceback" not in terminal.rest()
            assert process.wait() == 0
            assert b"The server is being ended." in answer.read()


@needs_signals
@pytest.mark.slow
def test_one_that_still_loads_is_stopped_too(cli: "CommandLine", localfp4: Localfp4) -> None:
    with serving(cli, cli.model("endless"), "--port", "0") as server:
        server.says("listening at ")
        assert json.loads(localfp4("ps", "--json")[1])[0]["state"] == "not ready"
        assert localfp4("stop")[0] == 0
        assert server.ends()[0] == 0


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_a_sentence(
    cli: "CommandLine", localfp4: Localfp4
) -> None:
    with serving(cli, cli.model("damaged"), "--port", "0") as server:
        code, out, err = server.ends()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "✗ model.safetensors is truncated."
    assert localfp4("ps", "--json") == (0, "[]\n", "")


@pytest.fixture
def vllm(cli: "CommandLine", monkeypatch: pytest.MonkeyPatch) -> int:
    """A script that stands in for vLLM, on the search path; returns a port that is free."""
    command = cli.home / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE_VLLM} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    with listen(ServerSettings(port=0)) as listener:
        found: int = listener.getsockname()[1]
        return found


@needs_signals
def test_vllm_is_listed_and_stopped_like_any_other(
    vllm: int, cli: "CommandLine", localfp4: Localfp4
) -> None:
    with serving(cli, "--engine", "vllm", "--host", "127.0.0.1", "--port", str(vllm)) as server:
        assert f"http://127.0.0.1:{vllm}/v1 after " in server.says("vLLM answers at ")
        (told,) = json.loads(localfp4("ps", "--json")[1])
        assert (told["model"], told["engine"], told["state"]) == ("demo", "vllm", "ready")
        assert localfp4("stop", str(vllm))[0] == 0
        code, out, _ = server.ends()
    assert code == 0
    assert out.splitlines()[-1] == "INFO ended by SIGTERM"
    assert localfp4("ps", "--json") == (0, "[]\n", "")


@needs_signals
@pytest.mark.slow
def test_the_end_of_vllm_is_that_of_the_command(vllm: int, cli: "CommandLine") -> None:
    arguments = ["--engine", "vllm", "--port", str(vllm)]
    with serving(cli, *arguments, "--", "--fails") as server:
        assert server.ends()[0] == 7
    with serving(cli, *arguments) as server:
        server.says("vLLM answers at ")
        server.process.send_signal(signal.SIGINT)
        code, out, _ = server.ends()
    assert (code, out.splitlines()[-1]) == (3, "INFO ended by SIGINT")
    with listen(ServerSettings(port=vllm)), serving(cli, *arguments) as server:
        code, out, err = server.ends()
    assert (code, out) == (2, "")
    assert "something else listens there" in err
