"""Deleting from the cache: what is gone, what stays, what is freed, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localfp4.checkpoint.store import in_use
from localfp4.checkpoint.store.removal import removal, remove, unfinished_removals
from localfp4.checkpoint.store.snapshot import HubModel
from localfp4.errors import ModelNotFoundError, UserError
from tests.checkpoint.store.cached import FIRST, SECOND, put, put_part, store_of, use_cache

OLD = {"config.json": b"{}", "model.safetensors": b"w" * 1000, "old.json": b"o" * 10}
NEW = {"config.json": b"{}", "model.safetensors": b"w" * 1000, "new.json": b"n" * 20}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = use_cache(tmp_path / "hub", monkeypatch)
    put(folder, "org/m", OLD, refs=("old",))
    put(folder, "org/m", NEW, commit=SECOND)
    return folder


def disk_bytes(cache: Path) -> int:
    files = (path for path in cache.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.parent.name != "refs")


@pytest.mark.parametrize("links", [True, False])
def test_a_model_goes_with_all_its_versions_and_parts(cache: Path, links: bool) -> None:
    put(cache, "org/other", OLD, links=links)
    put(cache, "org/other", NEW, commit=SECOND, links=links)
    put_part(cache, "org/other", 300)
    (store_of(cache, "org/other") / "blobs" / "e").write_bytes(bytes(50))
    before = disk_bytes(cache)
    planned = removal(HubModel("org/other"))
    remove(planned)
    assert not store_of(cache, "org/other").exists()
    assert before - disk_bytes(cache) == planned.freed_bytes
    assert (store_of(cache, "org/m") / "snapshots" / SECOND / "model.safetensors").exists()


@pytest.mark.parametrize("revision", ["old", FIRST, FIRST[:7]])
def test_a_version_goes_and_what_it_shares_stays(cache: Path, revision: str) -> None:
    put(cache, "copy/m", OLD, refs=("main",))  # of the same commit
    planned = removal(HubModel("org/m", revision))
    remove(planned)
    assert planned.freed_bytes == 10
    store = store_of(cache, "org/m")
    assert {path.name for path in (store / "snapshots").iterdir()} == {SECOND}
    assert {path.name for path in (store / "refs").iterdir()} == {"main"}
    assert (store / "snapshots" / SECOND / "model.safetensors").read_bytes() == b"w" * 1000
    assert (store_of(cache, "copy/m") / "snapshots" / FIRST / "old.json").exists()


def test_the_only_version_takes_the_repository_with_it(cache: Path) -> None:
    put(cache, "org/one", OLD)
    planned = removal(HubModel("org/one", "main"))
    remove(planned)
    assert planned.name == "org/one@main"
    assert not store_of(cache, "org/one").exists()


def test_what_huggingface_hub_makes_nothing_of_can_be_deleted(cache: Path) -> None:
    put_part(cache, "org/part", 300)
    broken = put(cache, "org/broken", OLD)
    (broken / "model.safetensors").resolve().unlink()
    lost = put(cache, "org/lost", OLD)
    (lost.parent.parent / "refs" / "v1").write_text("9" * 40)
    for name in ("org/part", "org/broken", "org/lost"):
        remove(removal(HubModel(name)))
        assert not store_of(cache, name).exists()
    put_part(cache, "org/part", 300)
    assert removal(HubModel("org/part")).freed_bytes == 300


def test_a_version_of_a_damaged_repository_is_refused(cache: Path) -> None:
    (store_of(cache, "org/m") / "refs" / "v1").write_text("9" * 40)
    with pytest.raises(UserError, match="`localfp4 rm org/m` deletes them all"):
        removal(HubModel("org/m", "old"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (HubModel("org/n"), "org/n is not on this computer; did you mean org/m?"),
        (HubModel("zoo/giraffe"), "`localfp4 ls` lists what is"),
        (HubModel("org/m", "v9"), "there are @main, @old, @"),
        (HubModel("org/m", "1"), "is not on this computer: @1"),
    ],
)
def test_what_is_not_here_is_told_with_what_is(cache: Path, model: HubModel, words: str) -> None:
    with pytest.raises(ModelNotFoundError) as told:
        removal(model)
    assert words in str(told.value)


def test_nothing_whole_is_unfinished(cache: Path) -> None:
    put(cache, "org/gguf", {"m.gguf": bytes(100)})
    assert unfinished_removals() == []


def test_unfinished_downloads_go_and_what_is_whole_stays(cache: Path) -> None:
    put_part(cache, "org/m", 300)
    put_part(cache, "org/m", 900, random=".1f2e3d4c")
    put_part(cache, "org/part", 40)
    (store_of(cache, "org/part") / "blobs" / "e").write_bytes(bytes(50))
    put(cache, "org/gguf", {"m.gguf": bytes(100)})
    put_part(cache, "org/gguf", 7)
    planned = {one.name: one.freed_bytes for one in unfinished_removals()}
    assert planned == {"org/m": 1200, "org/part": 90, "org/gguf": 7}
    assert [one.name for one in unfinished_removals(["org/part"])] == ["org/part"]
    before = disk_bytes(cache)
    for one in unfinished_removals():
        remove(one)
    assert before - disk_bytes(cache) == sum(planned.values())
    assert not store_of(cache, "org/part").exists()
    assert (store_of(cache, "org/gguf") / "snapshots" / FIRST / "m.gguf").exists()
    assert (store_of(cache, "org/m") / "snapshots" / SECOND / "model.safetensors").exists()
    assert unfinished_removals() == []


def test_a_download_under_way_is_not_deleted(cache: Path) -> None:
    lock = cache / ".locks" / "models--org--m" / "x.lock"
    lock.parent.mkdir(parents=True)
    hold = (
        "import sys\nfrom huggingface_hub.utils import WeakFileLock\n"
        f"with WeakFileLock({str(lock)!r}):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=r"org/m is just being downloaded"):
            remove(removal(HubModel("org/m")))
        other.stdin.close()
    assert store_of(cache, "org/m").exists()
    remove(removal(HubModel("org/m")))
    assert not store_of(cache, "org/m").exists()


def test_an_open_file_is_found_before_anything_is_gone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied", str(self))

    planned = removal(HubModel("org/m"))
    monkeypatch.setattr(in_use, "open_files_stay", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(UserError, match=r"org/m cannot be deleted \(a program has it open\)"):
            remove(planned)
    assert (store_of(cache, "org/m") / "snapshots" / SECOND / "new.json").exists()
    held = [True]
    replace = os.replace

    def replace_later(source: Path, target: Path) -> None:
        if held.pop():
            held.append(False)
            raise PermissionError(13, "a virus scanner looks at it", str(source))
        held.append(False)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_later)
    monkeypatch.setattr("localfp4.file_moves._PAUSE_S", 0)
    monkeypatch.setattr("localfp4.file_moves._is_windows", lambda: True)
    assert not in_use.is_held_open([store_of(cache, "org/m")])
    assert store_of(cache, "org/m").exists()
    remove(planned)  # nobody has it open any more
    assert not store_of(cache, "org/m").exists()


def test_what_could_not_be_deleted_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("huggingface_hub.utils._cache_manager.shutil.rmtree", refuse)
    with pytest.raises(UserError, match=r"is still there\); end the programs that use it"):
        remove(removal(HubModel("org/m")))
    assert capfd.readouterr() == ("", "")


def test_a_cache_that_cannot_be_read_is_one_sentence(cache: Path) -> None:
    (store_of(cache, "org/m") / "refs" / "main").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        removal(HubModel("org/m"))


@pytest.mark.skipif(os.name != "posix", reason="needs a folder that its owner may not write")
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_sentence(cache: Path) -> None:
    store = store_of(cache, "org/m")
    (store / "snapshots").chmod(0o500)
    try:
        with pytest.raises(UserError, match="check that you may write to"):
            remove(removal(HubModel("org/m")))
    finally:
        (store / "snapshots").chmod(0o700)
