"""The interpreter that runs this program, and what Triton compiles with."""

import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from localfp4 import __version__
from localfp4.doctor.facts import PythonFacts
from localfp4.doctor.gather.installer import Interpreter, environment, installer
from localfp4.doctor.gather.surroundings import Surroundings


def python_facts(around: Surroundings) -> PythonFacts:
    """Describe the interpreter of this process."""
    interpreter = this_interpreter()
    is_linux = around.kind == "linux"
    return PythonFacts(
        version=platform.python_version(),
        executable=sys.executable,
        installer=installer(interpreter),
        environment=environment(interpreter),
        is_managed=is_managed(interpreter),
        has_headers=_headers().is_file() if is_linux else None,
        compiler=compiler(around) if is_linux else None,
        localfp4=__version__,
    )


def this_interpreter() -> Interpreter:
    """Return where the interpreter of this process lives."""
    return Interpreter(
        prefix=Path(sys.prefix),
        base_prefix=Path(sys.base_prefix),
        stdlib=Path(sysconfig.get_path("stdlib")),
    )


def is_managed(interpreter: Interpreter) -> bool:
    """Say whether the system forbids pip to install here (PEP 668); virtual ones are exempt."""
    if interpreter.is_virtual:
        return False
    return (interpreter.stdlib / "EXTERNALLY-MANAGED").is_file()


def compiler(around: Surroundings) -> str:
    """Return the C compiler that Triton takes, by its ``runtime/build.py``; empty where none is.

    A variable ``CC`` comes first, even where it names nothing that exists, then gcc, then clang.
    """
    path = around.environ.get("PATH")
    named = around.environ.get("CC")
    if named is not None:
        return shutil.which(named, path=path) or ""
    return shutil.which("gcc", path=path) or shutil.which("clang", path=path) or ""


def _headers() -> Path:
    """Return where Triton's ``runtime/build.py`` looks for ``Python.h``."""
    scheme = sysconfig.get_default_scheme()
    if scheme == "posix_local":  # Debian's own, which has no headers
        scheme = "posix_prefix"
    return Path(os.path.join(sysconfig.get_paths(scheme=scheme)["include"], "Python.h"))
