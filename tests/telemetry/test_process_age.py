"""When a process was started, from what Linux and Windows say."""

import struct
from typing import Any

import pytest

from localfp4.telemetry.process_age import started_after_boot_s, started_on_windows_s
from tests.telemetry.test_windows import fill

# proc_pid_stat(5): pid (comm) state ppid ... with starttime as the 22nd field.
STAT = "4242 (a) b (c)) S " + " ".join(str(number) for number in range(4, 53))


def test_a_name_with_brackets_does_not_shift_the_fields() -> None:
    assert started_after_boot_s(STAT, 100) == 0.22


class Kernel32:
    def __init__(self, works: bool = True) -> None:
        self.works = works

    def GetCurrentProcess(self) -> int:
        return -1

    def GetProcessTimes(self, process: Any, created: Any, ended: Any, *rest: Any) -> bool:
        # 2000-01-01 00:00:01 UTC; a FILETIME counts 100 ns since 1601.
        fill(created, struct.pack("<Q", 125_911_584_010_000_000))
        fill(ended, struct.pack("<Q", 1))
        return self.works


def test_windows_counts_from_1601() -> None:
    assert started_on_windows_s(Kernel32()) == 946_684_801


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(OSError, match="GetProcessTimes"):
        started_on_windows_s(Kernel32(works=False))
