"""Renaming, deleting and locking files as Windows lets it be done."""

import errno
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from localfp4 import file_moves
from localfp4.file_lock import try_lock
from localfp4.file_moves import put_in_place
from localfp4.quantize.streaming.work import WorkFolder
from localfp4.server.registry.registry import Registry, RunningServer
from tests.windows.open_files import refuse_open_files

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")


@pytest.fixture
def open_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_open_files(monkeypatch)
    monkeypatch.setattr(file_moves, "_is_windows", lambda: True)


@needs_proc
@pytest.mark.usefixtures("open_files_stay")
def test_a_scanner_that_looks_at_a_new_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, target = tmp_path / "finished", tmp_path / "target"
    finished.write_text("new")
    target.write_text("old")
    scanner = finished.open("rb")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            scanner.close()

    monkeypatch.setattr(time, "sleep", nap)
    put_in_place(finished, target)
    assert len(naps) == 3
    assert target.read_text() == "new"
    assert not finished.exists()


@needs_proc
@pytest.mark.usefixtures("open_files_stay")
def test_a_program_that_keeps_the_target_open_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, target = tmp_path / "finished", tmp_path / "target"
    finished.write_text("new")
    target.write_text("old")
    monkeypatch.setattr(file_moves, "_PATIENCE_S", 0.0)
    with target.open("rb"), pytest.raises(PermissionError, match="used by another process"):
        put_in_place(finished, target)
    assert (finished.read_text(), target.read_text()) == ("new", "old")


def test_a_folder_without_permission_is_not_waited_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(PermissionError):
        put_in_place(tmp_path / "a", tmp_path / "b")


@needs_proc
@pytest.mark.usefixtures("open_files_stay")
def test_a_work_folder_with_an_open_file_is_left_behind(tmp_path: Path) -> None:
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        work.write_text("kept.txt", "kept")
        with (work.folder / "kept.txt").open("rb"):
            assert not work.discard()
        assert work.discard()
    assert list(tmp_path.iterdir()) == []


@needs_proc
@pytest.mark.usefixtures("open_files_stay")
def test_the_registry_is_empty_after_a_server_has_ended(tmp_path: Path) -> None:
    server = RunningServer(os.getpid(), "demo", "http://127.0.0.1:1", "localfp4", 1.0)
    with Registry(tmp_path).member(server):
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


class Locks:
    """``msvcrt``, as far as files are locked with it: a byte of a file has one owner."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.owners: dict[tuple[int, int], int] = {}

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        place = os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR)
        assert (mode, count) == (self.LK_NBLCK, 1)
        if self.owners.setdefault(place, descriptor) != descriptor:
            raise OSError(errno.EACCES, "Permission denied")


def test_a_byte_that_no_file_has_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows lets nobody else read a byte that is locked."""
    locks = Locks()
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locks.locking))
    monkeypatch.setattr(sys, "platform", "win32")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n")
    first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    try:
        assert try_lock(first)
        assert not try_lock(second)
    finally:
        os.close(first)
        os.close(second)
    ((_, place),) = locks.owners
    assert place > path.stat().st_size
