"""When a process was started, from what Linux and psutil say."""

import sys
import time

import psutil
import pytest

from localfp4.telemetry.process_age import process_age_s, started_after_boot_s

# proc_pid_stat(5): pid (comm) state ppid ... with starttime as the 22nd field.
STAT = "4242 (a) b (c)) S " + " ".join(str(number) for number in range(4, 53))


def test_a_name_with_brackets_does_not_shift_the_fields() -> None:
    assert started_after_boot_s(STAT, 100) == 0.22


def test_both_ways_agree_to_the_second_that_boot_is_rounded_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = process_age_s()
    monkeypatch.setattr(sys, "platform", "win32")
    rough = process_age_s()
    assert exact is not None
    assert rough is not None
    assert 0 < exact < time.monotonic()
    assert rough == pytest.approx(exact, abs=2)


def test_a_refusal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "Process", refuse)
    assert process_age_s() is None
