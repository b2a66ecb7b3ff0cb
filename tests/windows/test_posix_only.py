"""What Windows lacks is imported only where the system has been asked for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("localfp4", "kernels/localfp4_kernels", "tui/localfp4_tui", "assets/demo/localfp4_demo")
POSIX_ONLY = frozenset(
    {
        *("curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog"),
        *("termios", "tty", "textual.drivers.linux_driver"),
    }
)
"""Modules that cannot be imported there."""

NOT_FOR_WINDOWS = ROOT / "tui/localfp4_tui/tolerant_driver.py"
"""A driver that is imported for the terminals of POSIX alone."""

ASKS = re.compile(r"sys\.platform|os\.name|platform\.system")


def posix_imports(code: str) -> list[int]:
    """Return the lines that import one of them without having asked for the system."""
    return [line for line, is_guarded in _imports(ast.parse(code), False) if not is_guarded]


def _imports(node: ast.AST, is_guarded: bool) -> Iterator[tuple[int, bool]]:
    if isinstance(node, ast.If) and ASKS.search(ast.unparse(node.test)):
        is_guarded = True
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if POSIX_ONLY.intersection(names):
        yield getattr(node, "lineno", 0), is_guarded
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, is_guarded)


def test_modules_that_windows_lacks() -> None:
    imported = re.compile(rf"^\s*(import|from) .*\b({'|'.join(POSIX_ONLY)})\b", re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != NOT_FOR_WINDOWS and imported.search(code := path.read_text(encoding="utf-8"))
        for line in posix_imports(code)
    ]
    assert found == []


def test_an_import_without_a_branch_is_found() -> None:
    code = (
        "import os\nif os.name == 'posix':\n    import fcntl\nfrom os import path\nimport fcntl\n"
    )
    assert posix_imports(code) == [5]
    assert posix_imports("def lock():\n    from termios import TCSANOW\n") == [2]
