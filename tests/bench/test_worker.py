"""Contestants in processes of their own: what they say, how they die, and that none is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import active_children
from pathlib import Path

import pytest

from localfp4.bench.engines import worker
from localfp4.bench.engines.contestant import (
    CaseFailedError,
    Contestant,
    ContestantGoneError,
    Entrant,
)
from localfp4.bench.engines.worker import WorkerContestant, load_in_worker
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Method, Row, Series
from localfp4.bench.running.run import run
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.messages import LoadProgress
from tests.bench.fake_contestants import LARGE, SMALL, Fake, entrant

PROMPTLY_S = 20.0


@pytest.fixture(autouse=True)
def _fakes_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def loaded(one: Entrant) -> WorkerContestant:
    found: list[Contestant] = []

    def followed() -> Iterator[LoadProgress]:
        found.append((yield from load_in_worker(one)))

    list(followed())
    (contestant,) = found
    assert isinstance(contestant, WorkerContestant)
    return contestant


def process_id(fake: Contestant) -> int:
    return int(fake.about.notes[0].removeprefix("pid "))


def exists(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():  # a process that nobody has waited for is gone all the same
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + PROMPTLY_S
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not exists(pid)


def test_it_does_what_it_would_do_here_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    here: Contestant = Fake("a", {})
    with closing(loaded(entrant("a", batch1="prints", batch2="fails"))) as there:
        assert there.about.weight_format == "a"
        assert there.about.notes != here.about.notes  # which name the process
        assert there.work(SMALL) == here.work(SMALL)
        assert there.work(Case(9, 9, 9)) is None
        assert there.run(SMALL, "7 x") == here.run(SMALL, "7 x")
        with pytest.raises(CaseFailedError, match="It did not work") as caught:
            there.run(LARGE, "7 x")
        assert not isinstance(caught.value, ContestantGoneError)
        assert there.limits() == Limits(3.0)
    assert is_gone(process_id(there))
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_its_death_is_a_row_and_the_others_go_on() -> None:
    entrants = [
        entrant("c"),
        entrant("a", batch1="is killed", batch2="exits"),
        entrant("b", batch1="loses its connection", batch2="breaks"),
    ]
    found = run(entrants, Method("", 1, 0, 0), (SMALL, LARGE), 9, load=load_in_worker)
    rows = {(row.series.format, row.case): row for row in found if isinstance(row, Row)}
    reasons = {key: row.reason for key, row in rows.items() if row.status == "failed"}
    killed = "Its process was killed by the system (SIGKILL), perhaps for memory."
    assert reasons.pop(("a", SMALL)) == killed
    assert "ended unexpectedly with exit code 7; see " in reasons.pop(("a", LARGE))
    assert reasons.pop(("b", LARGE)).startswith("It broke (RuntimeError: boom); see ")
    dropped = "It broke (ConnectionResetError: reset by peer); see "
    assert reasons.pop(("b", SMALL)).startswith(dropped)
    assert reasons == {}
    assert rows["c", SMALL].status == rows["c", LARGE].status == "ok"


@pytest.mark.parametrize(
    ("mood", "sentence"),
    [
        ("missing", "The library is not installed."),
        ("unknown", "There is no such model."),
        ("too large", "m needs 20.0 GiB; 15.0 GiB free of 16.0"),
        ("exits", "Its process ended unexpectedly with exit code 3"),
    ],
)
def test_one_that_cannot_be_loaded_says_why(mood: str, sentence: str) -> None:
    with pytest.raises(CaseFailedError, match=sentence.replace("(", r"\(")) as caught:
        loaded(entrant("a", loading=mood))
    assert caught.value.status == {"missing": "missing", "too large": "does_not_fit"}.get(
        mood, "failed"
    )


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    there = loaded(entrant("a", batch1="hangs"))
    monkeypatch.setattr(worker, "PATIENCE_S", -23.0)  # with a second for each of 24 tokens
    with pytest.raises(ContestantGoneError, match="said nothing for 0 minutes and was ended"):
        there.run(SMALL, "7 x")
    assert is_gone(process_id(there))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such processes")
def test_what_a_dead_one_has_forked_neither_hides_its_death_nor_outlives_it(
    tmp_path: Path,
) -> None:
    """It holds the process's end of the pipe, and what tells that the process has ended."""
    told = tmp_path / "pid"
    there = loaded(entrant("a", batch1="forks, and exits", to=str(told)))
    with pytest.raises(ContestantGoneError, match="ended unexpectedly with exit code 7"):
        there.run(SMALL, "7 x")
    assert is_gone(int(told.read_text(encoding="utf-8")))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows cannot hold it back")
def test_ctrl_c_while_its_process_starts_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    @contextmanager
    def interrupted() -> Iterator[None]:
        yield
        (process,) = (one for one in active_children() if one.name == "localfp4-bench")
        assert process.pid is not None
        started.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "sigint_blocked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loaded(entrant("a", loading="endless"))
    (pid,) = started
    assert not exists(pid)


def test_leaving_while_it_loads_ends_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    loading = load_in_worker(entrant("a", loading="endless", to=str(told)))
    next(step for step in loading if step.total_bytes)
    loading.close()
    assert is_gone(int(told.read_text(encoding="utf-8")))


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program whose contestant hangs in a case, and the id of that process."""
    told = tmp_path / "pid"
    code = f"""
import sys
if __name__ == "__main__":
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from fake_contestants import LARGE, SMALL, entrant
    from localfp4.bench.records import Method
    from localfp4.bench.running.run import run
    from localfp4.bench.engines.worker import load_in_worker
    one = entrant("a", batch1="hangs", to={str(told)!r})
    for event in run([one], Method("", 1, 0, 0), (SMALL, LARGE), 9, load=load_in_worker):
        print(event, flush=True)
"""
    script = tmp_path / "program.py"
    script.write_text(code, encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert program.stdout is not None
        for line in program.stdout:
            if line.startswith(b"Doing"):
                break
        yield program, int(told.read_text(encoding="utf-8"))
    finally:
        program.kill()
        program.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_no_process_outlives_the_one_that_started_it(
    parent: tuple[subprocess.Popen[bytes], int], name: str
) -> None:
    program, pid = parent
    assert exists(pid)
    program.send_signal(getattr(signal, name))
    assert is_gone(pid)
    program.wait(PROMPTLY_S)


def test_our_own_engine_measures_in_a_process_of_its_own(fixtures: Path) -> None:
    """The one test with a model and torch in the process."""
    config = EngineConfig(str(fixtures / "m_qwen3"), device="cpu", threads=1)
    small, deep = Case(2, 6, 3), Case(1, 5, 2, depth=64)
    own = Entrant(
        Series("m_qwen3", "auto"),
        "localfp4.bench.engines.ours:load",
        {"config": config, "cases": (small, deep)},
        (small, deep),
    )
    with closing(loaded(own)) as there:
        about = there.about
        assert (about.family, about.device, about.dtype) == ("qwen3", "cpu", "float32")
        assert about.weight_bytes
        work = there.work(small)
        assert work is not None
        assert work.decode_bytes > 0
        measured = there.run(small, "1")
        assert sorted(map(len, measured.arrivals.values())) == [3, 3]
        assert measured.prompt_tokens == 2 * 6
        assert measured.peak_memory_bytes
        assert measured.memory_bytes
        again = there.run(deep, "2")
        assert again.prompt_tokens == 5
        with pytest.raises(CaseFailedError, match="exceed the context") as caught:
            there.run(Case(1, 500, 3), "3")
        assert caught.value.status == "does_not_fit"
