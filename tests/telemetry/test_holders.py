"""Which programs hold a card's memory: as the driver tells it, and as Windows does."""

import os
from collections.abc import Callable

import psutil
import pytest

from localfp4.telemetry import holders as module
from localfp4.telemetry import windows_holders
from localfp4.telemetry.holder import Holder
from localfp4.telemetry.holders import memory_holders
from localfp4.telemetry.processes import program_name
from localfp4.telemetry.windows_holders import Libraries
from tests.telemetry.fake_nvml import (
    DESKTOP_PID,
    DRIVER_NOT_LOADED,
    ENGINE_PID,
    GIB,
    NOT_AVAILABLE,
    LiveNvml,
    install,
)
from tests.telemetry.fake_windows import Gdi32, Pdh

NAMES = {ENGINE_PID: "python", DESKTOP_PID: "kwin", 31: "steam"}


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "program_name", lambda pid: NAMES.get(pid, ""))


def test_who_computes_and_who_draws_with_the_largest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    library = LiveNvml()
    install(monkeypatch, library)
    engine, desktop = Holder(ENGINE_PID, "python", 9 * GIB), Holder(DESKTOP_PID, "kwin", GIB)
    assert memory_holders("GPU-2a") == memory_holders("2a") == [engine, desktop]
    assert memory_holders("GPU-1a") == [desktop]
    assert memory_holders("GPU-3a") == []
    assert library.times_open == 0


def test_what_the_driver_keeps_to_itself_is_none_and_comes_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = LiveNvml()
    library.process_bytes = NOT_AVAILABLE
    install(monkeypatch, library)
    assert [holder.used_bytes for holder in memory_holders("2a")] == [GIB, None]


@pytest.mark.parametrize(
    "library",
    [
        None,
        LiveNvml(initialised=DRIVER_NOT_LOADED),
        LiveNvml("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetUUID"),
        LiveNvml(missing=tuple(module._LISTS)),
    ],
)
def test_where_nobody_tells_there_are_none(
    library: LiveNvml | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, library)
    assert memory_holders("2a") == []


def test_a_lost_card_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    library = LiveNvml()
    install(monkeypatch, library)
    library.is_lost = True
    assert memory_holders("2a") == []


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pdh, Gdi32], None]:
    """A driver that keeps figures to itself, and Windows' libraries."""
    library = LiveNvml()
    library.process_bytes = library.desktop_bytes = NOT_AVAILABLE
    install(monkeypatch, library)

    def with_libraries(pdh: Pdh, gdi32: Gdi32) -> None:
        found = Libraries(pdh, gdi32)
        monkeypatch.setattr(windows_holders, "libraries", lambda: found)

    return with_libraries


def test_windows_counts_what_its_driver_model_hides(
    on_windows: Callable[[Pdh, Gdi32], None],
) -> None:
    pdh = Pdh(
        {
            "pid_4242_luid_0x00000000_0x0000D1B2_phys_0": 9 * GIB,
            "pid_31_luid_0x00000000_0x0000d1b2_phys_0": GIB,
            "pid_31_luid_0x00000000_0x0000d1b2_phys_1": 2 * GIB,
            "pid_31_luid_0x00000000_0x00009999_phys_0": 5 * GIB,
            "pid_31_luid_0x00000001_0x0000D1B2_phys_0": 6 * GIB,
            "pid_7_luid_0x00000000_0x0000D1B2_phys_0": 0,
            "_Total": 99 * GIB,
        }
    )
    gdi32 = Gdi32({(1, 0): (0, 0x9999), (2, 0): (0, 0xD1B2)})
    on_windows(pdh, gdi32)
    assert memory_holders("2a") == [
        Holder(ENGINE_PID, "python", 9 * GIB),
        Holder(31, "steam", 3 * GIB),
    ]
    assert pdh.counter == r"\GPU Process Memory(*)\Local Usage", "in English, in any language"
    assert (pdh.is_open, gdi32.handles_open) == (False, 0)


@pytest.mark.parametrize(
    ("pdh", "gdi32"),
    [
        (Pdh(fails="PdhOpenQueryW"), Gdi32()),
        (Pdh(fails="PdhAddEnglishCounterW"), Gdi32()),
        (Pdh(fails="PdhCollectQueryData"), Gdi32()),
        (Pdh(fails="PdhGetFormattedCounterArrayW"), Gdi32()),
        (Pdh(status=0xC0000BBA), Gdi32()),
        (Pdh(), Gdi32(fails="D3DKMTEnumAdapters")),
        (Pdh(), Gdi32(fails="D3DKMTQueryAdapterInfo")),
        (Pdh(), Gdi32({(9, 0): (0, 0xD1B2)})),
    ],
)
def test_where_windows_does_not_tell_the_driver_still_names_them(
    pdh: Pdh, gdi32: Gdi32, on_windows: Callable[[Pdh, Gdi32], None]
) -> None:
    on_windows(pdh, gdi32)
    assert memory_holders("2a") == [
        Holder(DESKTOP_PID, "kwin", None),
        Holder(ENGINE_PID, "python", None),
    ]
    assert (pdh.is_open, gdi32.handles_open) == (False, 0)


def test_names_of_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program_name(os.getpid()) == psutil.Process().name()
    assert program_name(2**22 + 1) == "", "more than Linux' highest process number"
    for name, shown in (("Steam.EXE", "Steam"), ("chrome.exe", "chrome"), ("a.exe.b", "a.exe.b")):
        monkeypatch.setattr(psutil.Process, "name", lambda self, name=name: name)
        assert program_name(os.getpid()) == shown
