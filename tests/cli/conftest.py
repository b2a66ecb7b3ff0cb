"""Running the command line in a process of its own, with a fake engine or the real one."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FAKE_CLI = [sys.executable, str(Path(__file__).with_name("fake_cli.py"))]
REAL_CLI = [sys.executable, "-m", "localfp4"]
TIMEOUT_S = 60


@dataclass
class CommandLine:
    """Runs ``localfp4`` with a home of its own.

    ``models`` is a folder whose empty sub-folders are models to the fake engine.
    """

    home: Path
    models: Path
    command: list[str] = field(default_factory=lambda: FAKE_CLI)

    def model(self, name: str) -> str:
        folder = self.models / name
        folder.mkdir(exist_ok=True)
        return str(folder)

    def environment(self, **changes: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LOCALFP4")}
        homes = {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONIOENCODING": "utf-8",
        }
        return inherited | homes | changes

    def __call__(
        self, *arguments: str, stdin: str | bytes = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*self.command, *arguments],
            input=data,
            capture_output=True,
            timeout=TIMEOUT_S,
            env=self.environment(**environment),
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()
        )

    def refuses(
        self, *arguments: str, words: str, stdin: str | bytes = "", **environment: str
    ) -> None:
        """Assert exit code 2, nothing printed, and one sentence that has these words."""
        done = self(*arguments, stdin=stdin, **environment)
        assert done.returncode == 2, done
        assert done.stdout == ""
        assert done.stderr.startswith("✗ ")
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert words in done.stderr

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.command, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self.environment(),
        )


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line with a fake engine."""
    for name in ("home", "models"):
        (tmp_path / name).mkdir()
    return CommandLine(tmp_path / "home", tmp_path / "models")


@pytest.fixture
def real_cli(cli: CommandLine) -> CommandLine:
    """The command line as it is."""
    cli.command = REAL_CLI
    return cli
