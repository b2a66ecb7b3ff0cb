"""Headers that were read before: what is kept of them, for how long, and what is no header at all."""

import os
import time
from pathlib import Path

import pytest

from localfp4.checkpoint import outlining
from localfp4.checkpoint.kept_headers import FRESH_S, KEPT_S, KeptHeaders
from localfp4.checkpoint.store.digest import Digest
from localfp4.checkpoint.store.listing import RemoteFile
from localfp4.checkpoint.store.plan import DownloadPlan, PlannedFile
from localfp4.checkpoint.store.wanted import HubModel
from localfp4.errors import CheckpointError

HEADER = (2).to_bytes(8, "little") + b"{}"
SIZES = {"config.json": 2, "model.safetensors": len(HEADER)}


def kept(root: Path, repo: str, *, age_s: float = 0.0) -> KeptHeaders:
    headers = KeptHeaders(root / repo / "c0ffee")
    headers.keep({"model.safetensors": HEADER}, SIZES)
    then = time.time() - age_s
    os.utime(headers.folder / "files.json", (then, then))
    return headers


def test_what_nobody_has_looked_at_for_long_is_removed(tmp_path: Path) -> None:
    old, aging = kept(tmp_path, "org--old"), kept(tmp_path, "org--aging", age_s=KEPT_S - FRESH_S)
    then = time.time() - KEPT_S - FRESH_S
    os.utime(old.folder / "files.json", (then, then))
    new = kept(tmp_path, "org--new")
    assert old.sizes() is None
    assert not old.folder.exists()
    assert (aging.sizes(), new.sizes()) == (SIZES, SIZES)
    assert (aging.is_fresh(), new.is_fresh()) == (False, True)


@pytest.mark.parametrize("beginning", [b"", HEADER[:5], HEADER[:-1], b"\xff" * 9])
def test_a_header_that_was_not_written_whole_is_none(tmp_path: Path, beginning: bytes) -> None:
    headers = kept(tmp_path, "org--model")
    assert headers.headers(tmp_path, SIZES) is not None
    (headers.folder / "model.safetensors.header").write_bytes(beginning)
    assert headers.headers(tmp_path, SIZES) is None


@pytest.mark.parametrize("sizes", ["[]", '{"a": "b"}', '{"a": true}', '{"a": 1', "[" * 10**5])
def test_sizes_that_are_none(tmp_path: Path, sizes: str) -> None:
    headers = kept(tmp_path, "org--model")
    (headers.folder / "files.json").write_text(sizes, encoding="utf-8")
    assert headers.sizes() is None


def test_a_config_of_gigabytes_is_not_downloaded_to_look_at_a_model() -> None:
    def planned(name: str, size: int) -> PlannedFile:
        remote = RemoteFile(name, size, Digest("0" * 64))
        return PlannedFile(remote, is_here=False, arrived_bytes=0)

    files = (planned("model.safetensors", 10**12), planned("tokenizer.json", 35 * 10**6))
    model = HubModel("org/model")
    outlining._check_small_files(DownloadPlan(model, "c0ffee", files))
    huge = DownloadPlan(model, "c0ffee", (*files, planned("config.json", 3 * 10**9)))
    with pytest.raises(CheckpointError, match=r"config\.json of org/model is 3000 MB, too large"):
        outlining._check_small_files(huge)


def test_headers_are_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def endless(_repo: str, _snapshot: Path, name: str, _size: int) -> bytes:
        read.append(name)
        return bytes(1000)

    monkeypatch.setattr(outlining, "_beginning", endless)
    names = {f"model-{number}.safetensors": 10**9 for number in range(100)}
    assert list(outlining._beginnings("org/model", Path("x"), names)) == list(names)
    monkeypatch.setattr(outlining, "_MOST_BYTES", 5000)
    read.clear()
    with pytest.raises(CheckpointError, match="The headers of org/model have more than"):
        outlining._beginnings("org/model", Path("x"), names)
    assert len(read) < 10
