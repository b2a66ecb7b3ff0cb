"""Entries in files: sound ones come back, all others are ignored, and the folder stays small."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from localfp4.engine import disk_store
from localfp4.engine.disk_store import DiskStore
from localfp4.errors import UserError
from localfp4.runner.transfer import STATES

PRINT = bytes(range(16))
KEY = (0, b"k" * 16)
HEADER = 56


def views(*contents: bytes) -> list[memoryview]:
    return [memoryview(bytearray(content)) for content in contents]


def read(store: DiskStore, key: tuple[int, bytes] = KEY, sizes: tuple[int, ...] = (5, 3)) -> bytes:
    buffers = views(*(bytes(size) for size in sizes))
    assert store.read(key, buffers)
    return b"".join(map(bytes, buffers))


def fails(store: DiskStore, key: tuple[int, bytes] = KEY) -> bool:
    return not store.read(key, views(bytes(5), bytes(3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    DiskStore(tmp_path / "kv", PRINT).write(KEY, views(b"hello", b"you"))
    return tmp_path / "kv"


def only_file(folder: Path) -> Path:
    [path] = folder.rglob("*.kv")
    return path


def test_a_later_run_reads_what_an_earlier_one_wrote(folder: Path) -> None:
    store = DiskStore(folder, PRINT)
    assert store.has(KEY)
    assert read(store) == b"helloyou"
    for other in ((1, KEY[1]), (STATES, KEY[1]), (0, b"K" * 16)):
        assert not store.has(other)
        assert fails(store, other)


def test_another_model_has_files_of_its_own(folder: Path) -> None:
    other = DiskStore(folder, b"o" * 16)
    assert not other.has(KEY)
    other.write(KEY, views(b"other", b"one"))
    assert read(other) == b"otherone"
    assert read(DiskStore(folder, PRINT)) == b"helloyou"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such bits")
def test_only_its_owner_reads_it(folder: Path) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("place", [0, 8, 30, 45, 50, HEADER - 1, HEADER, HEADER + 7])
def test_one_wrong_bit_and_a_file_is_ignored(
    folder: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(only_file(folder).read_bytes())
    assert len(data) == HEADER + 8
    data[place] ^= 4
    only_file(folder).write_bytes(data)
    store = DiskStore(folder, PRINT)
    assert fails(store)
    assert "is ignored" in caplog.text
    assert not store.has(KEY)
    store.write(KEY, views(b"hello", b"you"))
    assert read(store) == b"helloyou"


@pytest.mark.parametrize("content", [b"", b"LFP4KV", bytes(HEADER), bytes(1000)])
def test_junk_and_torn_files_are_ignored(folder: Path, content: bytes) -> None:
    only_file(folder).write_bytes(content)
    assert fails(DiskStore(folder, PRINT))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_is_ignored(folder: Path, change: int) -> None:
    data = only_file(folder).read_bytes()
    only_file(folder).write_bytes(data[:change] if change < 0 else data + b"x")
    assert fails(DiskStore(folder, PRINT))


def test_entries_of_another_layout_are_ignored(folder: Path) -> None:
    assert not DiskStore(folder, PRINT).read(KEY, views(bytes(9)))
    assert not DiskStore(folder, PRINT).read(KEY, views(bytes(7)))


def test_a_file_under_another_name_is_ignored(folder: Path) -> None:
    only_file(folder).rename(only_file(folder).with_name(f"g0-{(b'x' * 16).hex()}.kv"))
    assert fails(DiskStore(folder, PRINT), (0, b"x" * 16))


def test_a_file_that_vanished_is_ignored(folder: Path) -> None:
    store = DiskStore(folder, PRINT)
    only_file(folder).unlink()
    assert fails(store)


def test_foreign_files_are_left_alone(folder: Path) -> None:
    foreign = [folder / "notes.kv", only_file(folder).parent / "x.kv", folder / ("a" * 32)]
    for path in foreign:
        path.write_text("mine", encoding="utf-8")
    store = DiskStore(folder, PRINT, max_bytes=HEADER + 8)
    store.write((1, b"n" * 16), views(b"hello", b"you"))
    assert not store.has(KEY)
    assert all(path.read_text(encoding="utf-8") == "mine" for path in foreign)


def test_the_least_recently_used_goes_first_whatever_model_it_is_of(folder: Path) -> None:
    room = 3 * (HEADER + 8)
    os.utime(only_file(folder), ns=(10**9, 10**9))
    other = DiskStore(folder, b"o" * 16, room)
    for number in (1, 2):
        other.write((number, KEY[1]), views(b"hello", b"you"))
    other.touch((1, KEY[1]))
    other.write((3, KEY[1]), views(b"hello", b"you"))
    assert not DiskStore(folder, PRINT).has(KEY)
    other.write((4, KEY[1]), views(b"hello", b"you"))
    assert [other.has((number, KEY[1])) for number in (1, 2, 3, 4)] == [True, False, True, True]
    again = DiskStore(folder, b"o" * 16, room)
    again.write((5, KEY[1]), views(b"hello", b"you"))
    assert [again.has((number, KEY[1])) for number in (1, 3, 4, 5)] == [False, True, True, True]


def test_an_entry_larger_than_the_cap_is_not_written(folder: Path) -> None:
    store = DiskStore(folder, PRINT, max_bytes=HEADER + 8)
    store.write((1, KEY[1]), views(bytes(9)))
    assert not store.has((1, KEY[1]))
    assert store.has(KEY)


def test_unfinished_files_are_removed_once_nobody_can_be_writing_them(folder: Path) -> None:
    old, new = (only_file(folder).with_name(f"{name}.kv.7.part") for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"torn")
    os.utime(old, ns=(10**9, 10**9))
    DiskStore(folder, PRINT)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_ends_writing_and_is_said_once(
    folder: Path, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def torn(path: Path, pieces: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(code, os.strerror(code))

    store = DiskStore(folder, PRINT)
    monkeypatch.setattr(disk_store, "_write", torn)
    for number in (1, 2):
        store.write((number, KEY[1]), views(b"hello", b"you"))
        assert not store.has((number, KEY[1]))
    assert len(caplog.messages) == 1
    assert ("the disk is full" in caplog.text) == (code == errno.ENOSPC)
    assert [path for path in folder.rglob("*") if path.is_file()] == [only_file(folder)]
    assert read(store) == b"helloyou"


def unwritable(folder: Path) -> Path:
    folder.write_text("a file", encoding="utf-8")
    return folder


def below_a_file(folder: Path) -> Path:
    return unwritable(folder) / "kv"


@pytest.mark.parametrize("make", [unwritable, below_a_file])
def test_a_folder_that_cannot_be_is_a_sentence(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="for KV pages cannot be used"):
        DiskStore(make(tmp_path / "taken"), PRINT)
