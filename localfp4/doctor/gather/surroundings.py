"""What a computer is asked through, so that tests can stand in for any computer.

Files are read below ``root``, variables from ``environ``, and Windows' registry through ``registry``.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localfp4.doctor.facts import SystemKind

RegistryValue = str | int | bytes | list[str] | None


class Registry(Protocol):
    """The part ``HKEY_LOCAL_MACHINE`` of Windows' registry."""

    def value(self, key: str, name: str) -> RegistryValue:
        """Return a value, ``None`` where there is none or it may not be read."""

    def keys(self, key: str) -> list[str]:
        """Return the names of the keys within a key."""


class NoRegistry:
    """What other systems have."""

    def value(self, key: str, name: str) -> RegistryValue:
        """Return nothing."""
        return None

    def keys(self, key: str) -> list[str]:
        """Return nothing."""
        return []


class WindowsRegistry:
    """That of this computer."""

    def value(self, key: str, name: str) -> RegistryValue:
        """Return a value, ``None`` where there is none or it may not be read."""
        if sys.platform == "win32":
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
                    found: RegistryValue = winreg.QueryValueEx(opened, name)[0]
                    return found
            except OSError:
                return None
        else:
            return None

    def keys(self, key: str) -> list[str]:
        """Return the names of the keys within a key."""
        if sys.platform == "win32":
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
                    count = winreg.QueryInfoKey(opened)[0]
                    return [winreg.EnumKey(opened, index) for index in range(count)]
            except OSError:
                return []
        else:
            return []


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A computer that can be asked.

    Attributes:
        kind: Its system.
        root: Its root folder.
        environ: The variables of this process; Windows' have names in capitals.
        registry: Of Windows.
    """

    kind: SystemKind
    root: Path
    environ: Mapping[str, str]
    registry: Registry

    def text(self, path: str) -> str:
        """Return a file's text without white space around it; empty where it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text("utf-8", "replace").strip("\0 \t\r\n")
        except (OSError, ValueError):
            return ""

    def has(self, path: str) -> bool:
        """Say whether there is a file or folder."""
        return os.path.exists(self.root / path.lstrip("/"))

    def entries(self, folder: str) -> list[Path]:
        """Return what is in a folder, in order; empty where it cannot be read."""
        try:
            return sorted((self.root / folder.lstrip("/")).iterdir())
        except OSError:
            return []


def this_computer() -> Surroundings:
    """Return the computer that this process runs on."""
    kinds: dict[str, SystemKind] = {"win32": "windows", "darwin": "macos"}
    is_windows = sys.platform == "win32"
    return Surroundings(
        kind=kinds.get(sys.platform, "linux"),
        # "/" alone would be the drive that the user happens to be on.
        root=Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\" if is_windows else "/"),
        environ=dict(os.environ),
        registry=WindowsRegistry() if is_windows else NoRegistry(),
    )
