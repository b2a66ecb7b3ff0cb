"""``localfp4 doctor``: output, exit codes, ``--fix``; the computer is written down."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from localfp4.cli import doctor as module
from localfp4.cli import doctor_fix, gathering
from localfp4.cli.doctor import doctor
from localfp4.doctor.facts import Facts
from localfp4.errors import RequestError
from tests.cli.conftest import CommandLine
from tests.doctor.machines import MACHINES, UBUNTU

SCHEMAS = Path(__file__).parents[1] / "schemas"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, bool]]]:
    """Make the command find these computers one after the other; return what it asked with."""

    def be(*machines: Facts) -> list[dict[str, bool]]:
        asked: list[dict[str, bool]] = []

        def gather(**options: bool) -> Iterator[str | Facts]:
            asked.append(options)
            yield "the system"
            yield machines[min(len(asked), len(machines)) - 1]

        monkeypatch.setattr(gathering, "gather", gather)
        return asked

    return be


def run(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(doctor, arguments, standalone_mode=False, **more)


@pytest.mark.parametrize(("name", "code"), [("no-gpu", 0), ("4090-windows-cpu-torch", 2)])
def test_report_and_exit_code(name: str, code: int, here: Callable[..., Any]) -> None:
    asked = here(MACHINES[name])
    done = run()
    assert done.exception is None
    assert done.return_value == code
    golden = Path(__file__).parents[1] / f"doctor/golden/{name}.txt"
    # Wrapped at the width of this terminal, so that only words are compared.
    assert done.stdout.split() == golden.read_text(encoding="utf-8").split()
    assert asked == [{"asks_network": True, "tries_kernels": True}]
    assert "\x1b" not in done.output


def test_options_that_leave_something_out(here: Callable[..., Any]) -> None:
    asked = here(UBUNTU)
    run("--offline", "--quick")
    assert asked == [{"asks_network": False, "tries_kernels": False}]


def test_json(here: Callable[..., Any]) -> None:
    here(MACHINES["driver-too-old"])
    done = run("--json")
    told = json.loads(done.stdout)
    jsonschema.validate(told, json.loads((SCHEMAS / "doctor.json").read_text(encoding="utf-8")))
    assert done.return_value == 2
    assert told["environment"]["localfp4"]


def test_vram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "card_facts", lambda _: MACHINES["laptop-on-battery"].gpus)
    assert "chrome" in run("--vram").stdout
    told = json.loads(run("--vram", "--json").stdout)
    schema = json.loads((SCHEMAS / "doctor_vram.json").read_text(encoding="utf-8"))
    jsonschema.validate(told, schema)
    assert told["rows"][0]["holders"][0]["name"] == "chrome"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fix",), "needs a terminal"),
        (("--fix", "--json", "--yes"), "without --json"),
        (("--fix", "--vram", "--yes"), "without --json and --vram"),
        (("--yes",), "--yes is for --fix"),
    ],
)
def test_combinations_that_mean_nothing(
    arguments: tuple[str, ...], words: str, here: Callable[..., Any]
) -> None:
    asked = here(UBUNTU)
    done = run(*arguments)
    assert isinstance(done.exception, RequestError)
    assert words in str(done.exception)
    assert asked == []


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Facts]:
    """Return a computer with a CPU build of torch whose Python writes down what it is to do."""
    monkeypatch.setattr(doctor_fix, "_is_administrator", lambda: False)

    def made(code: int) -> Facts:
        program = tmp_path / "python"
        log = tmp_path / "log"
        program.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nexit {code}\n', encoding="utf-8")
        program.chmod(0o755)
        python = replace(UBUNTU.python, installer="pip", executable=str(program))
        return replace(UBUNTU, python=python, torch=MACHINES["no-gpu"].torch)

    return made


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


@needs_sh
def test_fix_runs_what_is_safe_and_looks_again(
    pip: Callable[[int], Facts], here: Callable[..., Any], tmp_path: Path
) -> None:
    asked = here(pip(0), replace(UBUNTU, settings_error="line 3"))
    done = run("--fix", "--yes")
    assert done.exception is None, done.exception
    assert done.return_value == 2
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines() == [
        "-m pip uninstall -y torch",
        "-m pip install --index-url https://download.pytorch.org/whl/cu130 torch>=2.10,<2.14",
    ]
    assert len(asked) == 2
    after = done.stdout.split("Install PyTorch for CUDA 13.0:")[-1]
    assert "PyTorch\n  ✓ torch 2.13.0+cu130, has code for sm_120\n\n✗ 1 problem." in after
    assert "configuration" not in after


@needs_sh
def test_fix_stops_where_a_command_fails(
    pip: Callable[[int], Facts], here: Callable[..., Any], tmp_path: Path
) -> None:
    asked = here(pip(3))
    done = run("--fix", "--yes")
    assert done.return_value == 2
    assert "ended with exit code 3; nothing more of this is run" in done.stderr
    assert (tmp_path / "log").read_text(encoding="utf-8").count("\n") == 1
    assert len(asked) == 1


@needs_sh
def test_fix_does_nothing_that_was_not_agreed_to(
    pip: Callable[[int], Facts],
    here: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here(pip(0))
    monkeypatch.setattr(module, "_check_options", lambda **_: None)
    done = run("--fix", input="n\n")
    assert "Run this? [y/N]: n" in done.stdout
    assert done.return_value == 2
    assert not (tmp_path / "log").exists()


def test_a_program_that_cannot_be_started_is_said(
    here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_fix, "_is_administrator", lambda: False)
    monkeypatch.setenv("PATH", "")
    here(replace(UBUNTU, torch=MACHINES["no-gpu"].torch))
    done = run("--fix", "--yes")
    assert "uv cannot be started: No such file or directory." in done.stderr
    assert done.return_value == 2


def test_fix_refuses_an_administrator_outside_of_containers(
    here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_fix, "_is_administrator", lambda: True)
    here(UBUNTU)
    assert "does not run as administrator" in str(run("--fix", "--yes").exception)
    here(replace(UBUNTU, system=replace(UBUNTU.system, container="docker")))
    done = run("--fix", "--yes")
    assert "There is nothing that --fix may run" in done.stdout


@pytest.mark.slow
def test_the_real_command_tells_of_this_computer(real_cli: CommandLine) -> None:
    done = real_cli("doctor", "--offline")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert done.stdout.startswith("System\n  ")
    assert "torch" in done.stdout
    assert "\x1b" not in done.stdout
