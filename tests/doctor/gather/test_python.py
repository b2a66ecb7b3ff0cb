"""What installed localfp4, by what each installer leaves."""

import stat
from pathlib import Path

import pytest

from localfp4.doctor.gather.installer import Interpreter, environment, installer
from localfp4.doctor.gather.python import compiler, is_managed, python_facts
from tests.doctor.gather.computers import linux, write


def interpreter(prefix: Path, base: Path | None = None) -> Interpreter:
    return Interpreter(prefix, base or prefix, prefix / "lib/python3.12")


@pytest.mark.parametrize(
    ("files", "recorded", "expected"),
    [
        ({"pipx_metadata.json": "{}"}, "pip\n", "pipx"),
        ({"pipx_metadata.json": "{}"}, "uv", "pipx"),  # pipx may install with uv
        ({"uv-receipt.toml": "", "pyvenv.cfg": "uv = 0.13.9\n"}, "uv", "uv-tool"),
        ({"conda-meta/history": ""}, "pip", "conda"),
        ({"pyvenv.cfg": "uv = 0.13.9\n"}, "uv\n", "uv"),
        ({"pyvenv.cfg": "uv = 0.13.9\n"}, "", "uv"),
        ({"pyvenv.cfg": "uv = 0.13.9\n"}, "pip", "pip"),  # python -m pip within it
        ({"pyvenv.cfg": "version = 3.12.4\n"}, "pip", "pip"),
        ({}, "", "pip"),
        ({}, "poetry", "pip"),
    ],
)
def test_installers(tmp_path: Path, files: dict[str, str], recorded: str, expected: str) -> None:
    write(tmp_path, files)
    assert installer(interpreter(tmp_path), recorded) == expected


def test_environments_are_folders_and_the_systems_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"envs/llm/conda-meta/history": ""})
    assert environment(interpreter(tmp_path / "envs/llm")) == str(tmp_path / "envs/llm")
    virtual = interpreter(tmp_path / ".venv", tmp_path / "usr")
    assert environment(virtual) == str(tmp_path / ".venv")
    assert environment(interpreter(tmp_path)) == ""


def test_a_system_that_manages_its_python(tmp_path: Path) -> None:
    write(tmp_path, {"lib/python3.12/EXTERNALLY-MANAGED": ""})
    assert is_managed(interpreter(tmp_path))
    assert not is_managed(interpreter(tmp_path, tmp_path / "usr"))


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_compiler_that_triton_takes(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path / "bin")}
    assert compiler(linux(tmp_path, environ)) == ""
    program(tmp_path / "bin/clang")
    assert compiler(linux(tmp_path, environ)) == str(tmp_path / "bin/clang")
    program(tmp_path / "bin/gcc")
    assert compiler(linux(tmp_path, environ)) == str(tmp_path / "bin/gcc")
    assert compiler(linux(tmp_path, environ | {"CC": "clang"})) == str(tmp_path / "bin/clang")
    assert compiler(linux(tmp_path, environ | {"CC": "icc"})) == ""


def test_this_interpreter(tmp_path: Path) -> None:
    import platform
    import sys

    found = python_facts(linux(tmp_path))
    assert (found.version, found.executable) == (platform.python_version(), sys.executable)
    assert found.has_headers is not None
