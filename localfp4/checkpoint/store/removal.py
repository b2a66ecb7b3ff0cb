"""Deletes models from the hub's cache, by huggingface_hub's own means; torch-free.

Nothing outside the cache is ever deleted here. Whether somebody runs the model is for the caller to
know; that another program writes it, or has it open where the system forbids to delete then, is
found out here, before anything is gone.
"""

import difflib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.store.cache import (
    Repository,
    hub_cache,
    repositories,
    repository,
    size_of,
)
from localfp4.checkpoint.store.in_use import is_being_written, is_held_open
from localfp4.checkpoint.store.snapshot import HubModel
from localfp4.checkpoint.store.versions import begun, has_others_weights, whole_versions
from localfp4.errors import ModelNotFoundError, UserError

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, DeleteCacheStrategy, HFCacheInfo

_FEWEST_DIGITS = 7
"""Of a commit, that stand for it."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be deleted, and what that brings.

    Attributes:
        name: What a user calls it.
        store: The repository that it is of.
        paths: Files and folders that will be gone.
        freed_bytes: What the disk gets back; less than a version's size where others share files.
        strategy: How huggingface_hub does it.
    """

    name: str
    store: Repository
    paths: tuple[Path, ...]
    freed_bytes: int
    strategy: "DeleteCacheStrategy"


def removal(model: HubModel) -> Removal:
    """Plan to delete a model with all its versions and unfinished files, or one version.

    Raises:
        ModelNotFoundError: It is not in the cache.
        UserError: The cache cannot be read.
    """
    store = repository(model.repo_id)
    if not store.folder.is_dir():
        raise ModelNotFoundError(_not_here(model.name, [one.repo_id for one in repositories()]))
    cache = _scanned()
    scanned = next((repo for repo in cache.repos if repo.repo_path.name == store.folder.name), None)
    if model.revision is None:
        return _whole(store, cache, scanned)
    commit = _commit(store, model)
    others = [folder for folder in store.snapshots() if folder.name != commit]
    if not others:
        return replace(_whole(store, cache, scanned), name=model.name)
    if scanned is None:
        raise UserError(
            f"The cache of {model.repo_id} is damaged, so that its versions cannot be told apart; "
            f"`localfp4 rm {model.repo_id}` deletes them all."
        )
    return _removal(model.name, store, _only(cache, scanned).delete_revisions(commit))


def unfinished_removals(wanted: Iterable[str] = ()) -> list[Removal]:
    """Plan to delete what downloads that broke off have left, and nothing that is whole.

    Args:
        wanted: Repositories; without any, all of the cache.

    Raises:
        UserError: The cache cannot be read.
    """
    names = set(wanted)
    stores = [one for one in repositories() if not names or one.repo_id in names]
    left = [one for one in stores if one.partial_files() or begun(one) is not None]
    if not left:
        return []
    cache = _scanned()
    scanned = {repo.repo_path.name: repo for repo in cache.repos}
    return [_unfinished(one, cache, scanned.get(one.folder.name)) for one in left]


def remove(planned: Removal) -> None:
    """Delete what was planned.

    Raises:
        UserError: Another program uses it, or this user may not delete it.
    """
    if is_being_written(planned.store):
        raise UserError(f"{planned.name} is just being downloaded; end that first, or wait for it.")
    if is_held_open(planned.paths):
        raise _undeleted(planned, "a program has it open")
    try:
        with _silent():
            planned.strategy.execute()
    except OSError as error:
        raise _undeleted(planned, error.strerror or str(error)) from error
    if left := [path for path in planned.paths if path.exists()]:
        raise _undeleted(planned, f"{shown(left[0])} is still there")


def _scanned() -> "HFCacheInfo":
    """Return what huggingface_hub makes of the cache.

    Raises:
        UserError: It cannot be read.
    """
    from huggingface_hub import scan_cache_dir

    try:
        return scan_cache_dir(hub_cache())
    except (OSError, ValueError) as error:  # a ValueError is about what a file holds
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The cache {shown(hub_cache())} cannot be read ({shown(reason)}); mend that first."
        ) from error


def _only(cache: "HFCacheInfo", repo: "CachedRepoInfo") -> "HFCacheInfo":
    """Leave out all other repositories: a copy of one has the same commits."""
    return replace(cache, repos=frozenset({repo}))


def _whole(store: Repository, cache: "HFCacheInfo", repo: "CachedRepoInfo | None") -> Removal:
    if repo is None:  # huggingface_hub makes nothing of it, such as of an unfinished download
        freed = store.bytes_on_disk()
    else:
        commits = [version.commit_hash for version in repo.revisions]
        linked = _only(cache, repo).delete_revisions(*commits).expected_freed_size
        unlinked = (*store.partial_files(), *store.loose_blobs())
        freed = linked + sum(map(size_of, unlinked))
    strategy = replace(
        cache.delete_revisions(),
        repos=frozenset({_cache_folder() / store.folder.name}),
        expected_freed_size=freed,
    )
    return _removal(store.repo_id, store, strategy)


def _unfinished(store: Repository, cache: "HFCacheInfo", repo: "CachedRepoInfo | None") -> Removal:
    is_ours = not whole_versions(store) and not has_others_weights(store)
    if is_ours and begun(store) is not None:
        return _whole(store, cache, repo)
    files = store.partial_files()
    strategy = replace(
        cache.delete_revisions(),
        blobs=frozenset(files),
        expected_freed_size=sum(map(size_of, files)),
    )
    return _removal(store.repo_id, store, strategy)


def _removal(name: str, store: Repository, strategy: "DeleteCacheStrategy") -> Removal:
    paths = (*strategy.repos, *strategy.snapshots, *strategy.blobs)
    return Removal(name, store, paths, strategy.expected_freed_size, strategy)


def _cache_folder() -> Path:
    """Return the cache as huggingface_hub names it when it deletes."""
    return hub_cache().resolve()


def _commit(store: Repository, model: HubModel) -> str:
    """Return the commit of a version by its branch, or by the commit's first digits.

    Raises:
        ModelNotFoundError: It is not here.
    """
    wanted = str(model.revision)
    here = [folder.name for folder in store.snapshots()]
    named = store.refs().get(wanted)
    if named in here:
        return named
    begin = [one for one in here if one.startswith(wanted) and len(wanted) >= _FEWEST_DIGITS]
    if len(begin) == 1:
        return begin[0]
    refs = [ref for ref, commit in store.refs().items() if commit in here]
    known = ", ".join(f"@{shown(one)}" for one in (*refs, *here)[:4])
    raise ModelNotFoundError(
        f"This version of {model.repo_id} is not on this computer: @{shown(wanted)}; "
        f"there are {known or 'none'}."
    )


def _not_here(name: str, cached: list[str]) -> str:
    close = difflib.get_close_matches(name, cached, n=1, cutoff=0.6)
    hint = f"did you mean {shown(close[0])}?" if close else "`localfp4 ls` lists what is."
    return f"{name} is not on this computer; {hint}"


def _undeleted(planned: Removal, reason: str) -> UserError:
    return UserError(
        f"{planned.name} cannot be deleted ({shown(reason)}); end the programs that use it and "
        f"check that you may write to {shown(planned.store.folder)}."
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep huggingface_hub from logging a traceback for what is told in a sentence."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
