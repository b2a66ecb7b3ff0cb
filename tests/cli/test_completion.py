"""What Tab completes: in this process, and in a bash where there is one."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from localfp4.cli.completing import VARIABLE
from localfp4.cli.completing.shells import SHELLS
from localfp4.cli.entry import COMMANDS, localfp4, run_command_line
from localfp4.cli.history_file import history_path
from localfp4.cli.serve.listing import open_registry
from localfp4.server.registry.registry import RunningServer
from tests.checkpoint.store.cached import put, put_part, use_cache

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

MODEL = {"config.json": b"{}", "model.safetensors": b"w"}
BREAKS = " \t\n\"'@><=;|&(:"
"""Where an interactive bash breaks words."""

Complete = Callable[[str], list[str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    folder = use_cache(tmp_path / "hub", monkeypatch)
    put(folder, "nvidia/Qwen3-8B-NVFP4", MODEL)
    put(folder, "org/mine", MODEL, refs=("main", "v1"))
    put_part(folder, "org/part", 10)
    return folder


@pytest.fixture
def bash(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Complete:
    """Return what bash would be told of a line, and check that nothing else is."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv(VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_BREAKS", BREAKS)
        assert run_command_line([]) == 0
        printed = capfd.readouterr()
        assert printed.err == ""
        return [one.removeprefix("plain\t") for one in printed.out.splitlines() if one]

    return complete


def test_every_command_is_completed_and_none_is_imported(
    bash: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("localfp4.cli.lazy.import_module", refuse)
    assert bash("localfp4 ") == [name for name in COMMANDS if " " not in name]
    assert bash("localfp4 comp") == ["completion"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("localfp4 chat qwen3:14", ["14b"]),  # behind the colon, where bash goes on
        ("localfp4 chat Qwen3:14", ["14b"]),
        ("localfp4 chat 'qwen3:14", ["14b"]),
        ("localfp4 chat dem", ["demo"]),
        ("localfp4 chat --ephemeral dem", ["demo"]),
        ("localfp4 --verbose chat dem", ["demo"]),
        ("localfp4 run org/mi", ["org/mine"]),
        ("localfp4 run demo org/mi", []),  # which is the prompt
        ("localfp4 bench demo org/mi", ["org/mine"]),
        ("localfp4 run hello --draft org/mi", ["org/mine"]),
        ("localfp4 chat ./mod", ["dir\t./mod"]),
        ("localfp4 rm org/", ["org/mine", "org/part"]),
        ("localfp4 rm dem", []),
        ("localfp4 bench pl", ["plot"]),
        ("localfp4 eval comp", ["compare"]),
        ("localfp4 history ex", ["export"]),
        ("localfp4 fit --gpu=409", ["4090", "4090-laptop-gpu", "4090-d"]),
        ("localfp4 fit --kv fp8", ["fp8", "fp8-static"]),
        ("localfp4 chat --no-eph", ["--no-ephemeral"]),
        ("localfp4 completion f", ["fish"]),
    ],
)
def test_a_line_is_completed(bash: Complete, line: str, found: list[str]) -> None:
    assert set(bash(line)) == set(found)


@pytest.mark.parametrize(
    "line",
    ["localfp4 nonsense ", "localfp4 chat --none x", 'localfp4 chat "', "localfp4 chat \\", ""],
)
def test_half_a_line_may_mean_anything(bash: Complete, line: str) -> None:
    bash(line)


def test_servers_are_completed_and_asking_for_conversations_makes_no_file(bash: Complete) -> None:
    assert bash("localfp4 stop ") == []
    assert bash("localfp4 history show ") == []
    assert not history_path().exists()
    server = RunningServer(4711, "demo", "http://127.0.0.1:8003", "localfp4", 0.0)
    with open_registry().member(server):
        assert bash("localfp4 stop ") == ["8003", "4711"]
        assert bash("localfp4 stop 47") == ["4711"]


def test_powershell_passes_words_on_one_a_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "powershell_complete")
    monkeypatch.setenv("COMP_WORDS", ">localfp4\n>bench\n>pl")
    assert run_command_line([]) == 0
    assert capfd.readouterr().out == "plain\tplot\tDraw runs that were measured.\n"
    monkeypatch.setenv("COMP_WORDS", ">localfp4\n>chat\n>'C:\\no models")
    assert run_command_line([]) == 0
    assert capfd.readouterr().out == "dir\tC:\\no models\t\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["completion", shell]) == 0
    printed = capsys.readouterr()
    assert VARIABLE in printed.out
    assert f"{shell}_complete" in printed.out
    assert "%(" not in printed.out
    assert printed.err == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes(real_cli: "CommandLine", tmp_path: Path) -> None:
    program = tmp_path / "bin" / "localfp4"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m localfp4 "$@"\n')
    program.chmod(0o755)
    script = f"""
        set -e
        PATH="{program.parent}:$PATH"
        eval "$(localfp4 completion bash)"
        COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
        for COMP_LINE in 'localfp4 chat qwen3:14' 'localfp4 compl'; do
            COMP_POINT=${{#COMP_LINE}}
            _localfp4_completion localfp4
            echo "${{COMPREPLY[@]}}"
        done
        complete -p localfp4
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=real_cli.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    found, command, registered = done.stdout.splitlines()
    assert (found, command) == ("14b", "completion")
    assert registered.endswith("-F _localfp4_completion localfp4")


def test_completing_loads_nothing_heavy(real_cli: "CommandLine") -> None:
    code = (
        "import os, sys\n"
        f"os.environ.update({VARIABLE}='bash_complete', COMP_LINE='localfp4 chat demo')\n"
        "from localfp4.cli.entry import run_command_line\n"
        "run_command_line([])\n"
        "print({'torch', 'triton', 'textual', 'multiprocessing'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=real_cli.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "plain\tdemo\nset()\n", done.stderr


def _parameters(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _parameters(inner)


def test_whatever_names_a_model_a_card_or_a_conversation_is_completed() -> None:
    context = click.Context(localfp4)
    named = {"model", "models", "draft", "gpu", "conversation", "conversations", "synthetic"}
    bare = []
    for name in COMMANDS:
        command = localfp4.get_command(context, name)
        assert command is not None
        bare += [
            f"{name} {param.name}"
            for param in _parameters(command)
            if param.name in named and param._custom_shell_complete is None
        ]
    assert bare == []


def test_the_help_has_a_line_for_each_shell(real_cli: "CommandLine") -> None:
    lines = real_cli("completion", "--help").stdout.splitlines()
    assert '  bash        in ~/.bashrc:   eval "$(localfp4 completion bash)"' in lines
    assert any(line.startswith("  fish        once:") for line in lines)
