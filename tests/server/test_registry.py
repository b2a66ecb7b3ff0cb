"""The list of servers: who is alive, who is asked to end, and what dead ones leave behind."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest

from localfp4.errors import UserError
from localfp4.server.registry.registry import Registry, RunningServer

SERVER = RunningServer(os.getpid(), "demo", "http://127.0.0.1:8000", "localfp4", 1000.0)


def test_a_server_is_listed_while_it_lives(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "servers")
    assert registry.servers() == []
    with registry.member(SERVER):
        (listed,) = registry.servers()
        assert listed.server == SERVER
        assert not listed.has_ended()
    assert registry.servers() == []
    assert listed.has_ended()
    assert list((tmp_path / "servers").iterdir()) == []


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    young = RunningServer(os.getpid(), "young", "http://127.0.0.1:8001", "vllm", 2000.0)
    with registry.member(young), registry.member(SERVER):
        assert [one.server.model for one in registry.servers()] == ["demo", "young"]


def test_it_hears_that_it_shall_end(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.member(SERVER) as membership:
        assert not membership.stop_requested()
        (listed,) = registry.servers()
        listed.ask_to_stop()
        assert membership.stop_requested()
        assert not listed.wait_until_ended(0.0)
    assert listed.wait_until_ended(0.0)


def test_one_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from localfp4.server.registry.registry import Registry, RunningServer
        one = RunningServer(os.getpid(), "killed", "http://127.0.0.1:1", "localfp4", 0.0)
        with Registry(Path(sys.argv[1])).member(one):
            print("up", flush=True)
            sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        registry = Registry(tmp_path)
        (listed,) = registry.servers()
        assert listed.server.process_id == process.pid
        process.kill()
    assert listed.wait_until_ended(10.0)
    assert registry.servers() == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.member(SERVER):
        (entry,) = tmp_path.glob("*.json")
        for text in ("no JSON", "[]", "{}", '{"process_id": "one"}'):
            entry.write_text(text, encoding="utf-8")
            assert registry.servers() == []
        known = asdict(SERVER) | {"of_a_later_version": True}
        entry.write_text(json.dumps(known), encoding="utf-8")
        assert [one.server for one in registry.servers()] == [SERVER]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("a file", encoding="utf-8")
    with (
        pytest.raises(UserError, match="make that folder writable"),
        Registry(tmp_path / "servers").member(SERVER),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "port"), [("http://127.0.0.1:8000", 8000), ("http://[::1]:9", 9), ("http://x", 0)]
)
def test_the_port_is_read_from_the_address(url: str, port: int) -> None:
    assert RunningServer(1, "m", url, "localfp4", 0.0).port == port
