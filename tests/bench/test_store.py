"""The folder of a run: begun, killed, gone on with, refused, and read again."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4.bench.peaks import Limits
from localfp4.bench.records import Row, Series
from localfp4.bench.report.write import write
from localfp4.bench.running.lines import Header, run_lines
from localfp4.bench.running.run import run
from localfp4.bench.running.store import NotWrittenError, RunFile, read_run
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from tests.bench.fake_contestants import LARGE, SMALL, entrant, load
from tests.bench.study_run import ENVIRONMENT, METHOD, study_run

HEADER = Header(
    ENVIRONMENT, METHOD, (Series("m", "a"), Series("m", "b")), (SMALL, LARGE), {"kernels": "auto"}
)
ROW = Row(Series("m", "a"), SMALL, 1, "ok")


def written(folder: Path, *rows: Row) -> Path:
    with RunFile.create(folder, HEADER) as file:
        for row in rows:
            file.append(row)
    return folder


def test_what_was_appended_is_read_from_the_folder_or_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with RunFile.create(folder, HEADER) as file:
        file.append(Limits(1.0))
        file.append(ROW)
        assert read_run(folder).rows == (ROW,)  # while it is written
    assert read_run(folder / "rows.jsonl") == read_run(folder)
    assert read_run(folder).limits == Limits(1.0)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_reports_are_read_as_the_runs_they_tell_of(tmp_path: Path, form: Any) -> None:
    told = study_run()
    path = tmp_path / f"report.{form}"
    path.write_text(write(told, form) + "\n", encoding="utf-8")
    found = read_run(path)
    assert found.rows == told.rows
    assert found.method == told.method
    assert found.limits == told.limits
    assert set(found.abouts) == set(told.abouts)


@pytest.mark.parametrize("lost", [1, 5, 40, 10_000])
def test_half_a_line_is_left_out_and_written_again(tmp_path: Path, lost: int) -> None:
    folder = written(tmp_path, ROW, replace(ROW, repeat=2))
    record = folder / "rows.jsonl"
    text = record.read_bytes()
    record.write_bytes(text[:-lost] if lost < len(text) else b'{"kind": "ru')
    file, before = RunFile.resume(folder, HEADER)
    with file:
        missing = [repeat for repeat in (1, 2) if repeat not in {row.repeat for row in before.rows}]
        for repeat in missing:
            file.append(replace(ROW, repeat=repeat))
    assert [row.repeat for row in read_run(folder).rows] == [1, 2]
    assert all(json.loads(line) for line in record.read_text(encoding="utf-8").splitlines())


def test_a_new_run_does_not_write_over_another(tmp_path: Path) -> None:
    folder = written(tmp_path, ROW)
    with pytest.raises(UserError, match=r"already holds a run, begun 2026-11-21 .* add --resume"):
        RunFile.create(folder, HEADER)
    assert read_run(folder).rows == (ROW,)


def test_going_on_with_nothing_begins(tmp_path: Path) -> None:
    file, before = RunFile.resume(tmp_path / "none", HEADER)
    with file:
        file.append(ROW)
    assert before.rows == ()
    assert read_run(tmp_path / "none").rows == (ROW,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"series": (Series("m", "a"),)}, "series: m b only there"),
        ({"series": (*HEADER.series, Series("n", "a"))}, "series: n a only here"),
        ({"cases": (SMALL,)}, "cells: batch 2, 4 in, 3 out only there"),
        (
            {"cases": (SMALL, Case(1, 4, 20, 64))},
            "only there, batch 1, 4 in after 64, 20 out only here",
        ),
        ({"method": replace(METHOD, repeats=4)}, "repeats 3 there, 4 here"),
        ({"method": replace(METHOD, seed=1)}, "seed 0 there, 1 here"),
        ({"method": replace(METHOD, ignore_eos=False)}, "--ignore-eos yes there, no here"),
        ({"options": {"kernels": "torch"}}, "kernels auto there, torch here"),
        ({"options": {"kernels": "auto", "threads": 2}}, "threads none there, 2 here"),
        (
            {"environment": replace(ENVIRONMENT, gpu="NVIDIA A100")},
            "gpu NVIDIA GeForce RTX 4090 there",
        ),
        ({"environment": replace(ENVIRONMENT, torch="2.14.0")}, "torch 2.13.0 there, 2.14.0 here"),
    ],
)
def test_another_run_is_not_gone_on_with_and_the_difference_is_named(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    folder = written(tmp_path, ROW)
    before = (folder / "rows.jsonl").read_bytes()
    with pytest.raises(UserError) as caught:
        RunFile.resume(folder, replace(HEADER, **change))
    assert sentence in str(caught.value)
    assert "another --out" in str(caught.value)
    assert (folder / "rows.jsonl").read_bytes() == before


def test_the_date_the_command_and_the_time_to_spend_may_differ(tmp_path: Path) -> None:
    folder = written(tmp_path, ROW)
    other = replace(
        HEADER,
        environment=replace(ENVIRONMENT, date="2027-01-01 00:00 UTC", memory_bytes=1),
        method=replace(METHOD, command="localfp4 bench --resume", budget_s=5.0),
        series=HEADER.series[::-1],
    )
    file, run_before = RunFile.resume(folder, other)
    file.close()
    assert run_before.rows == (ROW,)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = written(tmp_path, ROW)
    code = f"""
import sys, time
from pathlib import Path
from localfp4.bench.running.store import RunFile
from tests.bench.test_store import HEADER
file, _ = RunFile.resume(Path({str(folder)!r}), HEADER)
print("has it", flush=True)
time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"has it"
        for begin in (RunFile.create, RunFile.resume):
            with pytest.raises(UserError, match="Another benchmark is writing to"):
                begin(folder, HEADER)
        assert read_run(folder).rows == (ROW,)
    finally:
        other.kill()
        other.communicate()
    file, _ = RunFile.resume(folder, HEADER)
    file.close()


def _full_after(count: int) -> Callable[[int, Any], int]:
    """Return a ``write`` that finds the disk full after so many bytes."""
    really, left = os.write, [count]

    def write_some(descriptor: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = really(descriptor, bytes(data)[: left[0]])
        left[0] -= done
        return done

    return write_some


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_keeps_what_was_written_and_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    folder = written(tmp_path, ROW)
    file, _ = RunFile.resume(folder, HEADER)
    before = (folder / "rows.jsonl").read_bytes()
    with file, monkeypatch.context() as patch:
        patch.setattr(os, "write", _full_after(room))
        with pytest.raises(NotWrittenError) as caught:
            file.append(replace(ROW, repeat=2))
    sentence = str(caught.value)
    assert "is full; 1 row is kept. Free some space, and go on with --resume." in sentence
    assert (folder / "rows.jsonl").read_bytes() == before
    file, run_before = RunFile.resume(folder, HEADER)
    with file:
        file.append(replace(ROW, repeat=2))
    assert run_before.rows == (ROW,)
    assert len(read_run(folder).rows) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none", None, "There is no "),
        ("rows.txt", b"1 2 3", "no report of a benchmark in JSON"),
        ("rows.txt", b"\xff\xfe", "is not the record of a benchmark"),
        ("report.json", b'{"environment": {}, "method": {}, "rows": []}', "is damaged"),
        ("rows.jsonl", b'{"kind": "run", "schema": 9}\n', "another version"),
        ("rows.jsonl", b"", "JSON"),
    ],
)
def test_a_file_that_is_no_run_is_refused_with_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_run(path)


def test_a_folder_without_a_run_and_a_file_in_its_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no run in .*: it has no rows\.jsonl"):
        read_run(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        RunFile.create(tmp_path / "file", HEADER)
    (tmp_path / "rows.jsonl").write_text("mine\n", encoding="utf-8")
    for begin in (RunFile.create, RunFile.resume):
        with pytest.raises(UserError, match="not the record of a benchmark"):
            begin(tmp_path, HEADER)
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_a_run_that_was_killed_loses_one_cell_at_most(tmp_path: Path) -> None:
    """A process that measures fakes is killed between and within rows, and gone on with."""
    code = f"""
import os, signal, sys
from pathlib import Path
from localfp4.bench.running.run import run
from localfp4.bench.records import Row
from localfp4.bench.running.store import RunFile
from tests.bench.fake_contestants import LARGE, SMALL, entrant, load
from tests.bench.test_store import HEADER
file, before = RunFile.resume(Path({str(tmp_path)!r}), HEADER)
left = int(sys.argv[1])
for event in run(
    [entrant("a"), entrant("b")], HEADER.method, (SMALL, LARGE), 9, before.rows,
    load=lambda one: load(**one.settings),
):
    if isinstance(event, Row):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        file.append(event)
"""
    for survives in (3, 5):
        killed = subprocess.run([sys.executable, "-c", code, str(survives)], check=False)
        assert killed.returncode == -signal.SIGKILL
    found = read_run(tmp_path)
    assert len(found.rows) == 3 + 5
    rest = run(
        [entrant("a"), entrant("b")],
        METHOD,
        (SMALL, LARGE),
        9,
        found.rows,
        load=lambda one: load(**one.settings),
    )
    keys = [
        (row.series, row.case, row.repeat)
        for row in (*found.rows, *(event for event in rest if isinstance(event, Row)))
    ]
    assert len(keys) == len(set(keys)) == 2 * 2 * METHOD.repeats
    assert run_lines(found)
