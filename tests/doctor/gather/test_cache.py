"""The cache of the hub and the disk below it."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import psutil
import pytest

from localfp4.doctor.gather import disk
from localfp4.doctor.gather.cache import cache_facts, origin
from localfp4.doctor.gather.windows_drive import file_system_of, has_seek_penalty
from tests.doctor.gather.computers import linux, windows, write


def repository(root: Path, name: str, **files: str) -> None:
    write(root / f"models--{name}", {path.replace("__", "/"): text for path, text in files.items()})


def test_models_whole_and_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    repository(
        cache,
        "org--whole",
        refs__main="abc",
        **{
            "snapshots/abc/config.json": "{}",
            "snapshots/abc/model.safetensors": "x" * 100,
        },
    )
    repository(
        cache,
        "org--half",
        refs__main="def",
        **{
            "snapshots/def/config.json": "{}",
            "blobs/0123.incomplete": "x" * 40,
        },
    )
    found = cache_facts(linux(tmp_path))
    assert (found.folder, found.models) == (str(cache), 1)
    assert (found.model_bytes, found.unfinished_bytes) == (100 + 2 + 2, 40)
    assert (found.is_writable, found.has_links) == (True, True)
    assert found.free_bytes
    assert found.free_bytes > 0


def test_a_cache_that_is_not_there_yet_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "a/b/hub"))
    found = cache_facts(linux(tmp_path))
    assert (found.models, found.model_bytes, found.is_writable) == (0, 0, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "default"),
        ({"HF_HOME": "/big"}, "HF_HOME"),
        ({"HF_HOME": "/big", "HF_HUB_CACHE": "/fast"}, "HF_HUB_CACHE"),
        ({"HF_HOME": "", "XDG_CACHE_HOME": "/c"}, "XDG_CACHE_HOME"),
    ],
)
def test_why_it_is_there(environ: dict[str, str], expected: str) -> None:
    assert origin(environ) == expected


def test_a_folder_that_refuses_files_and_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, whom no permission stops: the system's answers are played."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.symlink", refuse)
        assert disk.has_links(tmp_path) is False
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        patch.setattr("tempfile.TemporaryDirectory", refuse)
        assert disk.is_writable(tmp_path) is False
        assert disk.has_links(tmp_path) is None


def mounts(monkeypatch: pytest.MonkeyPatch, *listed: tuple[str, str, str]) -> None:
    found = [
        SimpleNamespace(device=device, mountpoint=str(place), fstype=kind)
        for device, place, kind in listed
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)


def test_the_innermost_mount_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    (models / "hub").mkdir(parents=True)
    (tmp_path / "models-of-others").mkdir()
    mounts(
        monkeypatch,
        ("/dev/nvme0n1p2", "/", "ext4"),
        ("overlay", str(models), "overlay"),
        (r"C:\134", str(models), "9p"),
    )
    assert disk.file_system(models / "hub" / "later", linux(tmp_path)) == "9p"
    assert disk.file_system(tmp_path / "models-of-others", linux(tmp_path)) == "ext4"


@pytest.mark.parametrize(
    ("device", "files", "expected"),
    [
        ("sda1", {"sda/queue/rotational": "1", "sda/device/vendor": "ATA     "}, True),
        ("sda", {"sda/queue/rotational": "1"}, True),
        ("nvme0n1p2", {"nvme0n1/queue/rotational": "0"}, False),
        ("vda1", {"vda/queue/rotational": "1"}, None),
        ("sdb1", {"sdb/queue/rotational": "1", "sdb/device/vendor": "VMware"}, None),
        ("rpool", {}, None),
    ],
)
def test_hard_disks_of_linux(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    files: dict[str, str],
    expected: bool | None,
) -> None:
    around = linux(tmp_path)
    write(tmp_path / "sys/devices", files)
    name = next((disk for disk in (path.partition("/")[0] for path in files)), "none")
    (tmp_path / "sys/devices" / name / device).mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys/class/block").mkdir(parents=True)
    target = name if device == name else f"{name}/{device}"
    (tmp_path / "sys/class/block" / device).symlink_to(tmp_path / "sys/devices" / target)
    mounts(monkeypatch, (f"/dev/{device}", "/", "ext4"))
    assert disk.is_spinning(tmp_path, around) is expected


def test_the_disks_of_wsl_are_virtual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "disk_partitions")
    around = linux(tmp_path, proc__version="Linux version 6.6.87.2-microsoft-standard-WSL2")
    assert disk.is_spinning(tmp_path, around) is None


class FakeKernel32:
    """A drive that tells whether it seeks, or does not."""

    def __init__(self, handle: int | None, worked: bool, seeks: int) -> None:
        self.handle, self.worked, self.seeks = handle, worked, seeks
        self.closed: list[int | None] = []

    def CreateFileW(self, name: str, access: int, *_: Any) -> int | None:
        assert (name, access) == (r"\\.\D:", 0)
        return self.handle

    def DeviceIoControl(self, handle: Any, code: int, query: Any, *rest: Any) -> int:
        assert code == 0x2D1400
        assert (query._obj.property_id, query._obj.query_type, rest[0]) == (7, 0, 12)
        assert rest[2] == ctypes.sizeof(rest[1]._obj) == 12
        rest[1]._obj.incurs_seek_penalty = self.seeks
        return int(self.worked)

    def GetVolumeInformationW(self, root: str, *rest: Any) -> int:
        assert root == "D:\\"
        rest[-2].value = "exFAT"
        assert rest[-1] == len(rest[-2])
        return int(self.worked)

    def CloseHandle(self, handle: Any) -> None:
        self.closed.append(handle.value)


@pytest.mark.parametrize(
    ("worked", "seeks", "expected"), [(True, 1, True), (True, 0, False), (False, 1, None)]
)
def test_hard_disks_of_windows(worked: bool, seeks: int, expected: bool | None) -> None:
    library = FakeKernel32(0x84, worked, seeks)
    assert has_seek_penalty(library, "D:") is expected
    assert library.closed == [0x84]


@pytest.mark.parametrize("handle", [None, ctypes.c_void_p(-1).value])
def test_a_drive_that_cannot_be_opened(handle: int | None) -> None:
    library = FakeKernel32(handle, True, 1)
    assert has_seek_penalty(library, "D:") is None
    assert library.closed == []


def test_file_systems_of_windows() -> None:
    library = FakeKernel32(0x84, worked=True, seeks=0)
    assert file_system_of(library, "D:") == "exFAT"
    library.worked = False
    assert file_system_of(library, "D:") == ""


def test_elsewhere_windows_is_not_asked(tmp_path: Path) -> None:
    around = windows(tmp_path, {})
    assert (disk.is_spinning(tmp_path, around), disk.file_system(tmp_path, around)) == (None, "")
