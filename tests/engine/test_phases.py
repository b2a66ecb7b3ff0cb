"""Phases of a start, on a clock that is turned by hand."""

import subprocess
import sys
import time

import pytest

from localfp4.engine import phases
from localfp4.engine.phases import START, WEIGHTS, Phases, phase_lines


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_phases_follow_each_other_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "process_age_s", lambda: 1.5)
    clock = Clock()
    measured = Phases(clock)
    clock.now += 50  # before the first phase
    for name, seconds in (("plan", 1), ("weights", 4), ("plan", 2), ("graphs", 8)):
        measured.enter(name)
        clock.now += seconds
    expected = (START, 1.5), ("plan", 3.0), ("weights", 4.0), ("graphs", 8.0)
    assert measured.result() == expected
    clock.now += 1
    assert measured.result()[-1] == ("graphs", 9.0)


def test_a_system_that_does_not_tell_gives_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "process_age_s", lambda: None)
    assert Phases(Clock()).result() == ()


def test_the_table_has_the_sum_and_the_speed_of_loading() -> None:
    lines = phase_lines([("plan", 0.5), (WEIGHTS, 2.0), ("none", 0.0)], weight_bytes=7 * 10**9)
    assert lines == [
        "plan         0.500 s",
        "weights      2.000 s  3.5 GB/s",
        "none         0.000 s",
        "together     2.500 s",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_the_age_of_a_process_holds_what_came_before_its_first_line() -> None:
    code = """
import time
time.sleep(0.3)
from localfp4.telemetry.process_age import process_age_s
print(process_age_s())
"""
    before = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 0.3 <= float(done.stdout) <= time.perf_counter() - before + 0.02
