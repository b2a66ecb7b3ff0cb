"""How files get into the cache: with links and without, and what is noted of branches."""

import errno
import os
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.checkpoint.store.cache import Repository
from localfp4.checkpoint.store.digest import Digest
from localfp4.checkpoint.store.listing import RemoteFile
from localfp4.checkpoint.store.partial import PartialFile
from localfp4.checkpoint.store.place import Place
from tests.checkpoint.fake_hub import COMMIT, etag, git_sha1

CONTENT = b"weights " * 100


def remote(name: str = "model.safetensors", content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile(name, len(content), Digest(etag(name, content)))


def arrive(place: Place, file: RemoteFile, content: bytes = CONTENT) -> None:
    place.make_folders(file)
    place.partial(file).write_bytes(content)
    place.lay(file)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Repository(tmp_path / "hub" / "models--org--name"), COMMIT)


@pytest.fixture
def without_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.EPERM, "a required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    place.try_links()


def test_a_file_is_a_link_to_a_blob_named_by_its_hash(place: Place) -> None:
    file = remote()
    arrive(place, file)
    assert place.has(file)
    assert os.readlink(place.file(file)) == f"../../blobs/{file.digest.hexadecimal}"
    assert place.file(file).read_bytes() == CONTENT


@pytest.mark.usefixtures("without_links")
def test_without_links_the_file_itself_lies_there(place: Place) -> None:
    file = remote()
    arrive(place, file)
    assert place.has(file)
    assert not place.file(file).is_symlink()
    assert not any(place.repository.blobs.iterdir())
    place.forget(file)
    assert not place.has(file)


@pytest.mark.usefixtures("without_links")
def test_without_links_a_blob_of_another_tool_becomes_the_file(place: Place) -> None:
    file = remote()
    place.make_folders(file)
    place.blob(file).write_bytes(CONTENT)
    assert place.adopt(file)
    assert place.file(file).read_bytes() == CONTENT


def test_without_links_a_blob_that_another_version_links_to_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = remote()
    arrive(place, file)
    newer = Place(place.repository, COMMIT[::-1])
    newer.make_folders(file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    assert newer.adopt(file)
    assert not newer.file(file).is_symlink()
    assert newer.file(file).read_bytes() == place.file(file).read_bytes() == CONTENT


def test_two_processes_that_a_lock_does_not_part_write_the_same(place: Place) -> None:
    file = remote()
    place.make_folders(file)
    with (
        PartialFile(place.partial(file), file) as one,
        PartialFile(place.partial(file), file) as two,
    ):
        for part, chunk in ((one, CONTENT[:500]), (two, CONTENT[:300]), (one, CONTENT[500:])):
            part.append(chunk)
        assert one.is_right
        place.lay(file)
        two.append(CONTENT[300:])
        assert two.is_right
        place.lay(file)
    assert place.file(file).read_bytes() == CONTENT


def test_two_names_of_one_content_share_a_blob(place: Place) -> None:
    arrive(place, remote("a.safetensors"))
    other = remote("b.safetensors")
    assert not place.has(other)
    assert place.adopt(other)
    assert place.file(other).read_bytes() == CONTENT


def test_a_virus_scanner_that_holds_the_file_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [True, True]
    replace = os.replace

    def replace_later(source: Path, target: Path) -> None:
        if held:
            held.pop()
            raise PermissionError(errno.EACCES, "used by another process")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_later)
    monkeypatch.setattr("localfp4.file_moves._PAUSE_S", 0)
    monkeypatch.setattr("localfp4.file_moves._is_windows", lambda: True)
    arrive(place, remote())
    assert place.has(remote())


@pytest.mark.parametrize(
    ("revision", "noted"),
    [(None, "refs/main"), ("v1", "refs/v1"), ("refs/pr/3", "refs/refs/pr/3")],
)
def test_branches_are_noted_as_huggingface_hub_does(
    place: Place, revision: str | None, noted: str
) -> None:
    place.point(revision)
    assert (place.repository.folder / noted).read_text() == COMMIT


def test_a_cache_that_may_only_be_read_keeps_its_notes(place: Place) -> None:
    place.repository.folder.mkdir(parents=True)
    (place.repository.folder / "refs").write_text("in the way")
    place.point(None)
    assert (place.repository.folder / "refs").read_text() == "in the way"


def test_a_commit_needs_no_note(place: Place) -> None:
    place.point(COMMIT)
    assert not (place.repository.folder / "refs").exists()


def test_small_files_are_hashed_as_git_does() -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    assert git_sha1(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    hashed = Digest("ce013625030ba8dba906f756967f9e9ca394464a").started(6)
    hashed.update(b"hello\n")
    assert hashed.hexdigest() == "ce013625030ba8dba906f756967f9e9ca394464a"


@settings(max_examples=30, deadline=None)
@given(chunks=st.lists(st.binary(max_size=50), max_size=12), breaks=st.sets(st.integers(0, 12)))
def test_a_file_that_arrives_in_pieces_and_attempts_has_the_right_hash(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], breaks: set[int]
) -> None:
    content = b"".join(chunks)
    file, path = remote(content=content), tmp_path_factory.mktemp("part") / "x.incomplete"
    part = PartialFile(path, file)
    for index, chunk in enumerate(chunks):
        if index in breaks:  # the process ends; another goes on
            part.close()
            part = PartialFile(path, file)
            part.take_up(Event())
        part.append(chunk)
    assert part.is_right
    part.close()
    path.write_bytes(content + b"!")
    with PartialFile(path, file) as longer:
        longer.take_up(Event())
        assert longer.size_bytes == 0
        assert longer.is_right == (content == b"")
