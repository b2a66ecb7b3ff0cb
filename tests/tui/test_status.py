"""The two lines of the status: what they say, and that they fit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.content import Content

from localfp4.messages import LoadProgress
from localfp4.reports import Gauges
from localfp4_tui.curves import sparkline
from localfp4_tui.fitting import fitted
from localfp4_tui.memory_split import MemoryPart, cells, memory_split
from localfp4_tui.track import Sample, Track
from localfp4_tui.widgets.device_line import DeviceStatus, device_content
from localfp4_tui.widgets.notice_bar import NoticeBar
from localfp4_tui.widgets.status_line import PHASE_STYLES, Status, status_content
from tests.tui.fakes import CARD, GIB, INFO, STATS, FakeBackend
from tests.tui.harness import chatting, in_event_loop

ON_CARD = replace(
    INFO,
    device="NVIDIA GeForce RTX 4080",
    weight_bytes=int(6.4 * GIB),
    kv_cache_bytes=int(1.3 * GIB),
    max_model_len=16384,
    limit_tokens_per_s=118.5,
)
DECODING = Status(
    "decode",
    tokens_per_s=96.0,
    limit_tokens_per_s=118.5,
    speeds=(20.0, 60.0, 90.0, 96.0),
    ttft_s=0.041,
    context_used=2100,
    context_max=16384,
    kernel_path="FP4 weights",
)
DEVICE = DeviceStatus("VRAM", tuple(memory_split(CARD, ON_CARD)), 71.0, 212.4, 0.93, answer_j=38.2)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            120,
            "decode │ ▁▄▆▆ 96 tok/s (81% of limit) │ ctx 2.1k/16.4k ▓░░░░ 13% │ TTFT 41 ms │ "
            "FP4 weights",
        ),
        (80, "decode │ ▁▄▆▆ 96 tok/s (81% of limit) │ ctx 2.1k/16.4k ▓░░░░ 13% │ TTFT 41 ms"),
        (60, "decode │ ▁▄▆▆ 96 tok/s 81% │ ctx 2.1k/16.4k 13% │ TTFT 41 ms"),
        (40, "decode │ 96 tok/s 81% │ ctx 13%"),
        (20, "decode │ 96 tok/s"),
        (4, "dec…"),
        (0, ""),
    ],
)
def test_the_upper_line_by_width(width: int, expected: str) -> None:
    assert status_content(DECODING, width).plain == expected


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            138,
            "VRAM 9.7/16G ██████████▓▓░░░········· │ "
            "█ weights 6.4 ▓ KV 1.3 ▒ work 0.6 ░ other 1.4 · free 6.3 │ 71° 212 W 93% busy │ 38 J",
        ),
        (
            118,
            "VRAM 9.7/16G ██████▓▓░░······ │ "
            "█ weights 6.4 ▓ KV 1.3 ▒ work 0.6 ░ other 1.4 · free 6.3 │ 71° 212 W 93% busy │ 38 J",
        ),
        (
            78,
            "VRAM 9.7/16G ██▓░·· │ █weights 6.4 ▓KV 1.3 ▒work 0.6 ░other 1.4 │ 71° 212 W",
        ),
        (58, "VRAM 9.7/16G ██▓░·· │ █ 6.4 ▓ 1.3 ▒ 0.6 ░ 1.4 │ 71° 212 W"),
        (20, "VRAM 9.7/16G ██▓░··"),
        (14, "VRAM 9.7/16G"),
        (6, "VRAM …"),
    ],
)
def test_the_lower_line_by_width(width: int, expected: str) -> None:
    assert device_content(DEVICE, width).plain == expected


def test_an_alarm_marks_what_others_hold_without_colours_too() -> None:
    assert "░ other 1.4!" in device_content(replace(DEVICE, is_alarming=True), 140).plain
    assert "!" not in device_content(DEVICE, 140).plain


@settings(deadline=None)
@given(
    width=st.integers(0, 200),
    phase=st.sampled_from(list(PHASE_STYLES)),
    details=st.lists(st.text(max_size=30), max_size=4),
    speeds=st.lists(st.floats(0, 1e5), max_size=8),
    used=st.integers(0, 10**7),
    most=st.integers(0, 10**6),
    words=st.text(max_size=60),
    limit=st.floats(0, 1e4),
)
def test_the_upper_line_never_wraps(
    width: int,
    phase: str,
    details: list[str],
    speeds: list[float],
    used: int,
    most: int,
    words: str,
    limit: float,
) -> None:
    status = Status(
        next(known for known in PHASE_STYLES if known == phase),
        tuple(details),
        tokens_per_s=max(speeds, default=0.0),
        limit_tokens_per_s=limit,
        speeds=tuple(speeds),
        ttft_s=0.1,
        context_used=used,
        context_max=most,
        kernel_path=words,
    )
    content = status_content(status, width)
    assert content.cell_length <= width
    assert "\n" not in content.plain


@settings(deadline=None)
@given(
    width=st.integers(0, 200),
    total=st.integers(1, 10**12),
    used=st.integers(0, 10**12),
    engine=st.none() | st.integers(0, 10**12),
    celsius=st.none() | st.floats(0, 120),
    watts=st.none() | st.floats(0, 2000),
    joules=st.none() | st.floats(0, 1e9),
    on_card=st.booleans(),
    is_loaded=st.booleans(),
)
def test_the_lower_line_never_wraps_and_its_parts_are_all_of_the_memory(
    width: int,
    total: int,
    used: int,
    engine: int | None,
    celsius: float | None,
    watts: float | None,
    joules: float | None,
    on_card: bool,
    is_loaded: bool,
) -> None:
    gauges = Gauges("VRAM" if on_card else "RAM", total, used, engine)
    parts = memory_split(gauges, ON_CARD if is_loaded else None)
    assert sum(part.nbytes for part in parts) == total
    assert all(part.nbytes >= 0 for part in parts)
    assert sum(cells(parts, width)) == width
    assert len({part.glyph for part in parts}) == len(parts), "colours may be missing"
    status = DeviceStatus(
        gauges.memory_label, tuple(parts), celsius, watts, None, joules, is_alarming=True
    )
    content = device_content(status, width)
    assert content.cell_length <= width
    assert "\n" not in content.plain


def test_the_memory_of_a_card_is_split_and_that_of_a_computer_is_not_made_up() -> None:
    def parts(gauges: Gauges, *, is_loaded: bool = True) -> dict[str, float]:
        split = memory_split(gauges, ON_CARD if is_loaded else None)
        return {part.name: round(part.nbytes / GIB, 1) for part in split}

    assert parts(CARD) == {"weights": 6.4, "KV": 1.3, "work": 0.6, "other": 1.4, "free": 6.3}
    assert parts(CARD, is_loaded=False) == {"engine": 8.3, "other": 1.4, "free": 6.3}
    assert parts(replace(CARD, engine_bytes=None)) == {"used": 9.7, "free": 6.3}
    # A cache in main memory takes only the pages that were written to.
    computer = Gauges("RAM", 16 * GIB, 9 * GIB, 7 * GIB)
    assert parts(computer) == {"weights": 6.4, "engine": 0.6, "other": 2.0, "free": 7.0}
    # Layers that are read from main memory do not lie on the card.
    assert parts(replace(CARD, engine_bytes=4 * GIB))["weights"] == 2.7


def test_cells_are_in_proportion() -> None:
    parts = [MemoryPart(name, count, name, "") for name, count in (("a", 1), ("b", 2), ("c", 1))]
    assert cells(parts, 8) == [2, 4, 2]
    assert cells([MemoryPart("a", 0, "a", "")], 8) == [0]


def test_the_first_layout_that_fits_is_taken_and_the_last_one_cut() -> None:
    one, two = Content("one"), Content("two")
    layouts = [(one, Content(""), two), (one,)]
    lines = [fitted(layouts, width).plain for width in range(10)]
    assert lines == ["", "…", "o…", "one", "one", "one", "one", "one", "one", "one │ two"]


def test_a_sparkline_is_in_proportion_to_its_largest() -> None:
    assert sparkline([0, 50, 100]) == "▁▄█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([50.0], top=100.0) == "▄"
    assert sparkline([]) == ""


def test_a_track_keeps_minutes_and_tells_seconds_of_writing() -> None:
    track = Track()
    for look in range(4000):
        at_s = look / 4
        is_writing = at_s % 100 < 50
        track.add(Sample(at_s, at_s if is_writing else 0.0, 10, None))
    assert min(sample.at_s for sample in track) == 699.75
    assert track.speeds(2) == [948.375, 949.375]
    assert len(track.speeds(10**6)) == 150
    series = track.series(lambda sample: sample.tokens_per_s, span_s=100, points=4)
    assert [value is not None and value > 0 for value in series] == [True, True, False, False]
    assert Track().series(lambda sample: 1.0, span_s=10, points=3) == [None] * 3
    assert (Track().speeds(4), Track().median_speed()) == ([], 0.0)


@in_event_loop
async def test_the_status_in_every_phase() -> None:
    backend = FakeBackend(info=ON_CARD, load_steps=None)
    backend.newest_gauges = replace(CARD, used_bytes=3 * GIB, engine_bytes=2 * GIB)
    async with chatting(backend, size=(124, 30), ready=False) as chat:
        backend.report(LoadProgress("reading weights", 10**9, 6 * 10**9))
        await chat.until(lambda: "loading 17%" in chat.status)
        backend.report(LoadProgress("reading weights", 3 * 10**9, 6 * 10**9))
        await chat.until(lambda: "GB/s · " in chat.status and " left" in chat.status)
        await chat.until(lambda: "█ engine 2.0 ░ other 1.0 · free 13.0" in chat.device)
        backend.report(LoadProgress("allocating the KV cache"))
        await chat.until(lambda: chat.status.strip() == "loading allocating the KV cache")
        backend.newest_gauges = CARD
        backend.finish_loading()
        await chat.until(lambda: chat.status.strip().startswith("idle │ ctx 0/16.4k ░░░░░ 0% │"))
        await chat.until(lambda: "█ weights 6.4 ▓ KV 1.3 ▒ work 0.6 ░ other 1.4" in chat.device)
        backend.newest_stats = replace(STATS, phase="prefill", prefill_done=300, prefill_total=1000)
        await chat.send("go")
        await chat.until(lambda: "prefill 30%" in chat.status)
        backend.newest_stats = STATS
        backend.say("Words", tokens=984)
        await chat.until(
            lambda: (
                chat.status.strip().startswith("decode │ ▆")
                and "96 tok/s (81% of limit) │ ctx 1k/16.4k ▓" not in chat.status
                and "96 tok/s (81% of limit) │ ctx 1k/16.4k ░░░░░ 6%" in chat.status
            )
        )
        backend.newest_gauges = replace(CARD, energy_j=1038.2)
        backend.finish()
        await chat.until(lambda: "ctx 452/16.4k ░░░░░ 3% │ TTFT 41 ms" in chat.status)
        await chat.until(lambda: chat.device.strip().endswith("71° 212 W 93% busy │ 38 J"))
        await chat.pilot.resize_terminal(60, 12)
        await chat.until(lambda: not chat.device)
        assert "idle" in chat.status
        await chat.pilot.resize_terminal(60, 18)
        await chat.until(lambda: "VRAM 9.7/16G" in chat.device)
        backend.die()
        await chat.until(lambda: "stopped" in chat.status)


@in_event_loop
async def test_nothing_is_made_up_where_nothing_is_known() -> None:
    async with chatting(FakeBackend(["Yes."])) as chat:
        await chat.send("go")
        await chat.sees("412 tok", "idle")
        assert chat.device == ""
        assert "limit" not in chat.status
        assert not [sign for sign in ("°", "VRAM", " J") if sign in chat.text]
        chat.backend.newest_gauges = Gauges("RAM", 8 * GIB, 3 * GIB, GIB)
        await chat.until(lambda: "RAM 3.0/8G" in chat.device)
        assert not [sign for sign in ("°", " W", " J", "%", "VRAM") if sign in chat.device]


@in_event_loop
async def test_an_alarm_is_told_once_marked_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localfp4_tui.spill_watch._SETTLED_S", 0.0)
    monkeypatch.setattr("localfp4_tui.spill_watch._RECENT", 1)
    backend = FakeBackend(info=ON_CARD)
    backend.newest_gauges, backend.newest_stats = CARD, STATS
    async with chatting(backend, size=(124, 30)) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        backend.say("Words", tokens=500)
        await chat.until(lambda: len(chat.app._session.telemetry.track.speeds(9)) > 1)
        backend.newest_gauges = replace(CARD, used_bytes=CARD.used_bytes + 3 * GIB)
        backend.newest_stats = replace(STATS, tokens_per_s=20.0)
        await chat.sees("Other programs took 3 GiB of VRAM", "/fit", "other 4.4!")
        notice = chat.app.screen.query_one(NoticeBar)
        notice.dismiss()
        await chat.sees_no("Other programs took")
        looks = len(list(chat.app._session.telemetry.track))
        await chat.until(lambda: len(list(chat.app._session.telemetry.track)) > looks + 2)
        assert "other 4.4!" in chat.device
        assert not notice.display, "it is told once"
        backend.newest_stats = STATS
        await chat.sees("other 4.4 ")
        backend.newest_stats = replace(STATS, tokens_per_s=20.0)
        await chat.sees("Other programs took 3 GiB of VRAM")
        backend.newest_gauges = CARD
        await chat.sees_no("Other programs took")
