"""The disk that a folder is on: its room, its file system, and what can be done there."""

import os
import re
import tempfile
from pathlib import Path

import psutil

from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.doctor.gather.system import wsl_version
from localfp4.doctor.gather.windows_drive import file_system_of, has_seek_penalty, kernel32

_VIRTUAL_MAKERS = ("msft", "qemu", "vmware", "vbox", "google", "amazon", "virtio")
"""Of disks of virtual machines: these say that they turn whatever lies beneath."""


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    return next((path for path in (folder, *folder.parents) if os.path.isdir(path)), Path.cwd())


def is_writable(folder: Path) -> bool:
    """Say whether files can be made in a folder, or where it would be made."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            return True
    except OSError:
        return False


def has_links(folder: Path) -> bool | None:
    """Say whether files can be links in a folder; ``None`` where none can be made at all.

    Windows allows it to administrators and in its developer mode only.
    """
    try:
        with tempfile.TemporaryDirectory(dir=existing(folder)) as scratch:
            try:
                os.symlink("target", os.path.join(scratch, "link"))
            except OSError:
                return False
            return True
    except OSError:
        return None


def file_system(folder: Path, around: Surroundings) -> str:
    """Return the file system that a folder is on, such as ``ext4``; empty where unknown."""
    place = existing(folder)
    if around.kind == "windows":
        library = kernel32()
        return file_system_of(library, place.absolute().drive) if library else ""
    mount = _mount_of(place)
    return "" if mount is None else mount[1]


def is_spinning(folder: Path, around: Surroundings) -> bool | None:
    """Say whether a folder is on a hard disk, from which models load slowly."""
    place = existing(folder)
    if around.kind == "windows":
        library = kernel32()
        return has_seek_penalty(library, place.absolute().drive) if library else None
    if around.kind != "linux" or wsl_version(around):
        return None
    mount = _mount_of(place)
    return None if mount is None else _is_turning(mount[0], around)


def _is_turning(device: str, around: Surroundings) -> bool | None:
    """Ask Linux about a device such as ``/dev/nvme0n1p2``; a partition's disk is the folder above."""
    name = os.path.basename(os.path.realpath(device))
    if not re.fullmatch(r"\w[\w.-]*", name) or re.match(r"(loop|ram|zram)\d", name):
        return None
    block = os.path.realpath(around.root / "sys/class/block" / name)
    for folder in (block, os.path.dirname(block)):
        told = _word(f"{folder}/queue/rotational")
        if told and not _is_virtual(folder, name):
            return told == "1"
    return None


def _is_virtual(disk: str, name: str) -> bool:
    maker = f"{_word(f'{disk}/device/vendor')} {_word(f'{disk}/device/model')}".lower()
    return name.startswith(("vd", "xvd")) or any(word in maker for word in _VIRTUAL_MAKERS)


def _mount_of(place: Path) -> tuple[str, str] | None:
    """Return the device and the file system of the innermost mount that a path is in."""
    try:
        mounts = psutil.disk_partitions(all=True)
        path = os.path.realpath(place)
    except (OSError, RuntimeError):
        return None
    # Of several mounts at one place, the last covers the others.
    best = max(
        (mount for mount in mounts if _is_within(path, mount.mountpoint)),
        key=lambda mount: (len(mount.mountpoint), mounts.index(mount)),
        default=None,
    )
    return None if best is None else (best.device, best.fstype)


def _is_within(path: str, mount: str) -> bool:
    path, mount = os.path.normcase(path), os.path.normcase(mount)
    return path == mount or path.startswith(mount.rstrip(os.sep) + os.sep)


def _word(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
