"""What installed localfp4, told from the files that each installer leaves.

* pipx writes ``pipx_metadata.json`` into the environment of each program (its docs, "How it works").
* ``uv tool`` writes ``uv-receipt.toml`` there (uv's docs, "Tools").
* conda environments have a folder ``conda-meta``. PyTorch is no longer published for conda, so what
  is needed is installed by pip within them; what counts is that they are activated another way.
* pip and uv name themselves in ``INSTALLER`` of the installed distribution (PEP 376, PEP 627), and
  environments that uv made have a line ``uv = …`` in ``pyvenv.cfg`` and often no pip.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from localfp4.doctor.facts import Installer


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where a Python lives.

    Attributes:
        prefix: Of its environment.
        base_prefix: Of the Python that the environment was made from; the same outside of one.
        stdlib: The standard library's folder.
    """

    prefix: Path
    base_prefix: Path
    stdlib: Path

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual environment's."""
        return self.prefix != self.base_prefix

    @property
    def is_conda(self) -> bool:
        """Whether it is a conda environment's."""
        return (self.prefix / "conda-meta").is_dir()


def installer(interpreter: Interpreter, recorded: str | None = None) -> Installer:
    """Return what installed localfp4.

    Args:
        interpreter: Whose localfp4.
        recorded: Text of its ``INSTALLER``; ``None`` reads it.
    """
    if (interpreter.prefix / "pipx_metadata.json").is_file():
        return "pipx"
    if (interpreter.prefix / "uv-receipt.toml").is_file():
        return "uv-tool"
    if interpreter.is_conda:
        return "conda"
    name = (_recorded() if recorded is None else recorded).strip().lower()
    if name in ("uv", "pip"):
        return "uv" if name == "uv" else "pip"
    return "uv" if _was_made_by_uv(interpreter) else "pip"


def environment(interpreter: Interpreter) -> str:
    """Return the folder of a virtual environment or of one of conda's; else empty."""
    is_own = interpreter.is_virtual or interpreter.is_conda
    return str(interpreter.prefix) if is_own else ""


def _recorded() -> str:
    try:
        return distribution("localfp4").read_text("INSTALLER") or ""
    except PackageNotFoundError:
        return ""


def _was_made_by_uv(interpreter: Interpreter) -> bool:
    try:
        text = (interpreter.prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in text.splitlines())
