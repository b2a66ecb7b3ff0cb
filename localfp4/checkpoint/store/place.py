"""Where a version of a model lies in the hub's cache, and how its files get there; torch-free.

The layout is huggingface_hub's, so that every other tool finds what was fetched here: contents in
``blobs``, named by their hash; ``snapshots/<commit>`` with a link to each, or with the files
themselves where links are not to be had (Windows without developer mode); ``refs`` says which
commit a branch is.
"""

import os
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

from localfp4.checkpoint.store.cache import (
    UNFINISHED_REF,
    Repository,
    repository,
    size_of,
)
from localfp4.checkpoint.store.listing import RemoteFile
from localfp4.checkpoint.store.wanted import is_commit
from localfp4.file_moves import put_in_place


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one commit in the cache.

    Attributes:
        repository: The model's folder of the cache.
        commit: Of which version.
    """

    repository: Repository
    commit: str

    @property
    def snapshot(self) -> Path:
        """The folder that a model is opened from."""
        return self.repository.folder / "snapshots" / self.commit

    def file(self, remote: RemoteFile) -> Path:
        """Return what a model is read from: a link, or the file itself."""
        return self.snapshot / remote.name

    def blob(self, remote: RemoteFile) -> Path:
        """Return where the content lies where there are links."""
        return self.repository.blobs / remote.digest.hexadecimal

    def partial(self, remote: RemoteFile) -> Path:
        """Return where the content lies while it arrives."""
        return self.repository.blobs / f"{remote.digest.hexadecimal}.incomplete"

    def lock(self, remote: RemoteFile) -> Path:
        """Return what huggingface_hub locks while it downloads the same."""
        locks = self.repository.folder.parent / ".locks" / self.repository.folder.name
        return locks / f"{remote.digest.hexadecimal}.lock"

    def has(self, remote: RemoteFile) -> bool:
        """Say whether a file is here with its size; a power cut leaves files of no bytes."""
        return _is_file_of(self.file(remote), remote.size_bytes)

    def arrived_bytes(self, remote: RemoteFile) -> int:
        """Count the bytes that are here of a file."""
        if self.has(remote) or _is_file_of(self.blob(remote), remote.size_bytes):
            return remote.size_bytes
        return min(size_of(self.partial(remote)), remote.size_bytes)

    def make_folders(self, remote: RemoteFile) -> None:
        """Make the folders of a file.

        Raises:
            OSError: They cannot be made.
        """
        for path in (self.file(remote), self.blob(remote), self.lock(remote)):
            path.parent.mkdir(parents=True, exist_ok=True)

    def adopt(self, remote: RemoteFile) -> bool:
        """Take a file that is in the cache already; ``False`` where it is not."""
        if self.has(remote):
            return True
        if not _is_file_of(self.blob(remote), remote.size_bytes):
            return False
        self._link(remote)
        return True

    def lay(self, remote: RemoteFile) -> None:
        """Make a finished partial file the file.

        Another process may have done so where the file system's locks hold nobody off.

        Raises:
            OSError: It cannot be moved, or is gone.
        """
        has_links = self._has_links()
        try:
            put_in_place(
                self.partial(remote), self.blob(remote) if has_links else self.file(remote)
            )
        except FileNotFoundError:
            if not self.adopt(remote):
                raise
            return
        if has_links:
            self._link(remote)

    def forget(self, remote: RemoteFile) -> None:
        """Take a file away, so that it is fetched again."""
        for path in (self.file(remote), self.blob(remote), self.partial(remote)):
            path.unlink(missing_ok=True)

    def point(self, revision: str | None) -> None:
        """Note that a branch or tag is this version, so that it is found without asking the hub.

        In a cache that may only be read the note stays as it is.
        """
        if _noted_commit(self.repository, revision) == self.commit:
            return
        ref = self.repository.folder / "refs" / (revision or "main")
        written = ref.with_name(f"{ref.name}.{os.getpid()}{UNFINISHED_REF}")
        with suppress(OSError):
            ref.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(self.commit, encoding="utf-8")
            put_in_place(written, ref)

    def _link(self, remote: RemoteFile) -> None:
        file, blob = self.file(remote), self.blob(remote)
        file.unlink(missing_ok=True)
        if self._has_links():
            file.symlink_to(os.path.relpath(blob, file.parent))
        elif self.repository.has_link_to(blob):  # of a version from when there were links
            shutil.copyfile(blob, self.partial(remote))
            put_in_place(self.partial(remote), file)
        else:
            put_in_place(blob, file)

    def try_links(self) -> None:
        """Find out whether there are links, once and before threads ask.

        huggingface_hub, which remembers it, warns at the first time and advises Windows' developer
        mode; what hides a warning from one thread hides it from all.

        Raises:
            OSError: The cache cannot be written.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._has_links()

    def _has_links(self) -> bool:
        from huggingface_hub.file_download import are_symlinks_supported

        return bool(are_symlinks_supported(self.repository.folder.parent))


def place_of(repo_id: str, commit: str) -> Place:
    """Return where a version of a model is, or would be."""
    return Place(repository(repo_id), commit)


def known_place(repo_id: str, revision: str | None) -> Place | None:
    """Return where a revision is by what was noted when it was fetched."""
    commit = _noted_commit(repository(repo_id), revision)
    return None if commit is None else place_of(repo_id, commit)


def _noted_commit(noted_in: Repository, revision: str | None) -> str | None:
    if revision is not None and is_commit(revision):
        return revision
    ref = noted_in.folder / "refs" / (revision or "main")
    try:
        commit = ref.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return commit if is_commit(commit) else None


def _is_file_of(path: Path, size_bytes: int) -> bool:
    return isfile(path) and size_of(path) == size_bytes
