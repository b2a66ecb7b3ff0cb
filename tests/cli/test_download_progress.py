"""How far a download is, in words."""

from collections.abc import Generator

import pytest

from localfp4.cli.download_progress import Rate, describe, download_visibly, duration
from localfp4.messages import LoadProgress

GB = 10**9
WIDTH = 78


def step(done: int, total: int = 5 * GB, stage: str = "Downloading org/name") -> LoadProgress:
    return LoadProgress(stage, done, total)


@pytest.mark.parametrize(
    ("progress", "rate", "words"),
    [
        (LoadProgress("Looking for a\nb\x1b[2J"), None, "Looking for a b"),
        (step(GB), None, "Downloading org/name: 1.0 of 5.0 GB"),
        (step(GB), 50e6, "Downloading org/name: 1.0 of 5.0 GB, 50.0 MB/s, 80 s left"),
        (step(GB), 0.0, "Downloading org/name: 1.0 of 5.0 GB, 0 B/s"),
        (step(5 * GB), 50e6, "Downloading org/name: 5.0 of 5.0 GB, 50.0 MB/s"),
        (step(3, 90), None, "Downloading org/name: 3 of 90 B"),
    ],
)
def test_steps_in_words(progress: LoadProgress, rate: float | None, words: str) -> None:
    assert describe(progress, rate, WIDTH) == words


def test_a_long_name_gives_way_to_what_changes() -> None:
    line = describe(step(GB, stage=f"Downloading org/{'x' * 90}"), 50e6, WIDTH)
    assert len(line) == WIDTH
    assert line.endswith("…: 1.0 of 5.0 GB, 50.0 MB/s, 80 s left")
    assert describe(step(GB), 50e6, 40) == "1.0 of 5.0 GB, 50.0 MB/s, 80 s left"


def test_durations_in_words() -> None:
    assert [duration(s) for s in (0.4, 89, 90, 3540, 7500)] == [
        "0 s",
        "89 s",
        "2 min",
        "59 min",
        "2 h 5 min",
    ]


def test_the_rate_is_of_what_arrives_now() -> None:
    rate = Rate()
    assert rate.after(step(4 * GB), 0.0) is None, "what an earlier attempt left is no speed"
    assert rate.after(step(4 * GB + 10**7), 0.5) is None
    assert rate.after(step(4 * GB + 10**8), 2.0) == 50e6
    for second in range(3, 30):
        last = rate.after(step(4 * GB + 10**8), float(second))
    assert last == 0, "a stall is seen"
    assert rate.after(step(GB, stage="Checking org/name"), 31.0) is None


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter(range(200))

    def steps() -> Generator[LoadProgress, None, str]:
        yield LoadProgress("Looking for org/name")
        for percent in range(100):
            yield step(percent * 5 * GB // 100)
        return "folder"

    assert download_visibly(steps(), clock=lambda: float(next(times))) == "folder"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "Downloading org/name: 0.0 of 5.0 GB"
    assert lines[1] == "Downloading org/name: 1.5 of 5.0 GB, 50.0 MB/s, 70 s left"
