"""The log files: what is written, for whom, how much, and what happens where that cannot be."""

import logging
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest

from localfp4.errors import UserError
from localfp4.logs import logging_beside, new_log_file, start_logging
from localfp4.logs import start as module

log = logging.getLogger("localfp4.tests")
hub = logging.getLogger("huggingface_hub.tests")


def test_records_are_written_without_secrets_and_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALFP4_API_KEY", "open sesame")
    path = tmp_path / "deep" / "a.log"
    with start_logging(path):
        log.debug("says open sesame\x1b[31m\nforged line")
        hub.debug("Authorization: Bearer abcdefgh")
        try:
            raise ValueError("with hf_abcdefghijkl")
        except ValueError:
            log.info("failed", exc_info=True)
    log.debug("too late")
    text = path.read_text(encoding="utf-8")
    assert "localfp4.tests: says …\ufffd[31m\n    forged line\n" in text
    assert "huggingface_hub.tests: Authorization: Bearer …\n" in text
    assert "ValueError: with hf_…" in text
    assert "too late" not in text
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_warnings_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []  # pytest's own
    try:
        with start_logging(tmp_path / "a.log"):
            log.info("quiet")
            hub.info("quiet as well")
            log.warning("loud\x1b[2J")
        assert root.handlers == []
    finally:
        root.handlers = handlers
    assert capfd.readouterr().err.splitlines() == ["WARNING loud\ufffd[2J"]


def test_the_file_is_cut_and_stays_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    path = tmp_path / "a.log"
    with start_logging(path):
        for number in range(100):
            log.info("line %d", number)
    kept = sorted(tmp_path.iterdir())
    assert [one.name for one in kept] == ["a.log", "a.log.1"]
    assert all(one.stat().st_size <= 1000 for one in kept)
    assert "line 99" in path.read_text(encoding="utf-8")
    if os.name == "posix":
        assert {stat.S_IMODE(one.stat().st_mode) for one in kept} == {0o600}


def test_a_process_writes_beside_its_command(tmp_path: Path) -> None:
    with logging_beside(None, "engine"):
        log.info("nowhere")
    assert list(tmp_path.iterdir()) == []
    with logging_beside(str(tmp_path / "localfp4-1.log"), "engine"):
        log.info("here")
    [path] = tmp_path.iterdir()
    assert path.name == f"localfp4-1-engine-{os.getpid()}.log"
    with logging_beside(str(path / "no folder" / "x.log"), "engine"):
        log.info("goes on without")


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"The log .* cannot be written .*leave --verbose out\."),
        start_logging(tmp_path / "file" / "a.log"),
    ):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is full")
def test_a_full_disk_breaks_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.log").symlink_to("/dev/full")
    with start_logging(tmp_path / "a.log"):
        log.info("lost")
    assert capfd.readouterr().err == ""


def test_old_logs_are_deleted(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"localfp4-202601{number + 1:02}-000000-1.log").touch()
    (tmp_path / "engine.log").touch()
    path = new_log_file(tmp_path, lambda: datetime(2026, 11, 22, 7, 30, 5))
    assert path == tmp_path / f"localfp4-20261122-073005-{os.getpid()}.log"
    left = sorted(one.name for one in tmp_path.glob("localfp4-*"))
    assert len(left) == 19
    assert left[0] == "localfp4-20260112-000000-1.log"
    assert (tmp_path / "engine.log").exists()
