"""What ``localfp4`` says of itself, and what that costs."""

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from localfp4 import __version__
from localfp4.cli.entry import COMMANDS

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

HEAVY = ["torch", "triton", "textual", "rich", "huggingface_hub", "platformdirs", "numpy", "jinja2"]
HEAVY += ["starlette", "uvicorn", "pydantic", "prometheus_client", "llguidance"]


def test_help_names_every_command(real_cli: "CommandLine") -> None:
    done = real_cli("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


def test_without_a_command_the_help_is_shown(real_cli: "CommandLine") -> None:
    assert real_cli().stdout == real_cli("--help").stdout


def test_version(real_cli: "CommandLine") -> None:
    done = real_cli("--version")
    assert done.stdout.split() == ["localfp4", __version__]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_help_loads_nothing_heavy_and_no_command(arguments: list[str], cli: "CommandLine") -> None:
    script = (
        "import sys\n"
        "from localfp4.cli.entry import run_command_line\n"
        f"run_command_line({arguments!r})\n"
        f"loaded = [m for m in {HEAVY!r} if m in sys.modules]\n"
        f"loaded += [c for c in {list(COMMANDS)!r} if 'localfp4.cli.' + c in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=cli.environment())


def test_classes_of_click_need_not_be_generic(cli: "CommandLine") -> None:
    script = (
        "import click\n"
        "from click.shell_completion import CompletionItem\n"
        "def refuse(cls, _): raise TypeError(f'{cls} is not generic before click 8.5')\n"
        "for one in (CompletionItem, click.ParamType, click.Choice):\n"
        "    one.__class_getitem__ = classmethod(refuse)\n"
        "import localfp4.cli.completing.shells, localfp4.cli.config, localfp4.cli.entry\n"
        "import localfp4.cli.options, localfp4.cli.serve.options\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=cli.environment())


@pytest.mark.parametrize("command", ["chat", "run", "serve"])
def test_the_help_of_a_command_loads_neither_torch_nor_textual(
    command: str, cli: "CommandLine"
) -> None:
    script = (
        "import sys\n"
        "from localfp4.cli.entry import run_command_line\n"
        f"assert run_command_line([{command!r}, '--help']) == 0\n"
        "import localfp4.cli.plain\n"
        f"assert not [m for m in {HEAVY!r} if m in sys.modules]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=cli.environment())


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--no-such-option", "hi"]])
def test_a_wrong_word_on_the_command_line_is_one_sentence(
    arguments: list[str], real_cli: "CommandLine"
) -> None:
    real_cli.refuses(*arguments, words="--help")
