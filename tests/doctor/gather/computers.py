"""Computers to be asked: folders that stand for a root, and a registry in a dictionary."""

from collections.abc import Mapping
from pathlib import Path

from localfp4.doctor.facts import SystemKind
from localfp4.doctor.gather.surroundings import NoRegistry, RegistryValue, Surroundings


class FakeRegistry:
    """A registry with the values of each key."""

    def __init__(self, content: Mapping[str, Mapping[str, RegistryValue]]) -> None:
        self._content = content

    def value(self, key: str, name: str) -> RegistryValue:
        return self._content.get(key, {}).get(name)

    def keys(self, key: str) -> list[str]:
        within = (name.removeprefix(f"{key}\\") for name in self._content if name.startswith(key))
        return sorted({name.partition("\\")[0] for name in within} - {key})


def linux(root: Path, environ: Mapping[str, str] | None = None, **files: str) -> Surroundings:
    """A Linux; arguments are the texts of files, whose names have ``__`` between folders."""
    write(root, {name.replace("__", "/"): text for name, text in files.items()})
    return computer("linux", root, environ)


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def windows(
    root: Path,
    registry: Mapping[str, Mapping[str, RegistryValue]],
    environ: Mapping[str, str] | None = None,
) -> Surroundings:
    return Surroundings("windows", root, environ or {}, FakeRegistry(registry))


def computer(
    kind: SystemKind, root: Path, environ: Mapping[str, str] | None = None
) -> Surroundings:
    return Surroundings(kind, root, environ or {}, NoRegistry())
