"""A cache of the hub as huggingface_hub lays it, written by hand."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

FIRST = "1" * 40
SECOND = "2" * 40


def use_cache(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Have huggingface_hub take a folder for its cache."""
    import huggingface_hub.constants

    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


def store_of(cache: Path, repo_id: str) -> Path:
    return cache / f"models--{repo_id.replace('/', '--')}"


def files_in(folder: Path, *, without: Collection[str] = ()) -> dict[str, bytes]:
    paths = (path for path in folder.iterdir() if path.is_file() and path.name not in without)
    return {path.name: path.read_bytes() for path in paths}


def put(
    cache: Path,
    repo_id: str,
    files: Mapping[str, bytes],
    *,
    commit: str = FIRST,
    refs: Collection[str] = ("main",),
    links: bool = True,
) -> Path:
    """Write a version of a repository and return its snapshot; equal files are one blob."""
    store = store_of(cache, repo_id)
    snapshot = store / "snapshots" / commit
    for folder in (store / "blobs", store / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for ref in refs:
        (store / "refs" / ref).write_text(commit)
    for name, data in files.items():
        if links:
            blob = store / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
        else:
            (snapshot / name).write_bytes(data)
    return snapshot


def put_part(cache: Path, repo_id: str, size: int, *, random: str = "") -> Path:
    """Write what a download that broke off leaves of a file."""
    blobs = store_of(cache, repo_id) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    part = blobs / f"{'f' * 64}{random}.incomplete"
    part.write_bytes(bytes(size))
    return part
