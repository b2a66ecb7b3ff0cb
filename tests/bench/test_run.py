"""The order in which a run measures, and what becomes of it when something fails."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from localfp4.bench.engines.contestant import Entrant, Loading
from localfp4.bench.events import Doing, Event, Loaded
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Method, Row
from localfp4.bench.running.run import fit_together, run
from localfp4.engine.log import log_path
from localfp4.messages import LoadProgress
from tests.bench.fake_contestants import LARGE, SMALL, entrant, load, series

METHOD = Method("localfp4 bench", repeats=2, warmup=1, seed=7)
CASES = (SMALL, LARGE)
ROOM = 100


class Diary(list[str]):
    """What contestants were asked, in order."""

    def load(self, one: Entrant) -> Loading:
        return load(**one.settings, diary=self)


def events(
    diary: Diary, *entrants: Entrant, method: Method = METHOD, **options: Any
) -> list[Event]:
    return list(run(entrants, method, CASES, ROOM, load=diary.load, **options))


def rows(found: Sequence[Event]) -> list[Row]:
    return [event for event in found if isinstance(event, Row)]


def keys(found: Sequence[Row]) -> list[tuple[str, int, int]]:
    return [(row.series.format, row.case.batch, row.repeat) for row in found]


def test_those_that_fit_together_take_turns_at_every_case_of_every_repeat() -> None:
    diary = Diary()
    found = rows(events(diary, entrant("a"), entrant("b")))
    assert keys(found) == [
        (name, batch, repeat)
        for repeat, names in ((1, "ab"), (2, "ba"))
        for batch in (1, 2)
        for name in names
    ]
    assert [line for line in diary if "loaded" in line] == ["a loaded", "b loaded"]
    assert diary[-2:] == ["b closed", "a closed"]


def test_others_are_loaded_anew_for_every_repeat_and_never_two_at_once() -> None:
    diary = Diary()
    found = rows(events(diary, entrant("a", 60), entrant("b", 60)))
    assert keys(found) == [
        (name, batch, repeat) for repeat in (1, 2) for name in ("a", "b") for batch in (1, 2)
    ]
    changes = [line for line in diary if line.endswith(("loaded", "closed"))]
    assert changes == ["a loaded", "a closed", "b loaded", "b closed"] * 2


@pytest.mark.parametrize(
    ("needed", "together"),
    [((60, 40), True), ((60, 41), False), ((1, None), False), ((None,), True), ((101,), True)],
)
def test_what_one_takes_has_to_be_known_for_two_to_stay(
    needed: tuple[int | None, ...], together: bool
) -> None:
    assert fit_together([entrant("a", size) for size in needed], ROOM) is together


def test_every_case_is_warmed_up_shortly_after_each_loading() -> None:
    diary = Diary()
    events(diary, entrant("a", 60), entrant("b", 60), method=Method("", 2, 2, 7))
    own = [line for line in diary if line.startswith("a") and "limits" not in line]
    warm = ["a b1 n16 0", "a b1 n16 1", "a b2 n3 0", "a b2 n3 1"]
    assert own[:5] == ["a loaded", *warm]
    again = own.index("a loaded", 1)
    # The long case has repeats 1 and 2 of its own; only its warm-up is short.
    assert own[again + 1 : again + 5] == warm
    assert "a b1 n20 1" in own[5:again]
    assert "a b1 n20 2" in own[again:]


def test_all_series_get_the_same_prompts_and_no_run_those_of_another() -> None:
    seeds: dict[str, list[str]] = {"a": [], "b": []}

    def watched(one: Entrant) -> Loading:
        contestant = yield from load(**one.settings)
        ask = contestant.run

        def noting(case: Any, seed: str) -> Any:
            seeds[one.series.format].append(seed)
            return ask(case, seed)

        contestant.run = noting  # type: ignore[method-assign]
        return contestant

    list(run([entrant("a"), entrant("b")], METHOD, CASES, ROOM, load=watched))
    assert seeds["a"] == seeds["b"]
    assert len(set(seeds["a"])) == len(seeds["a"]) == 2 * 2 + 2
    assert all(seed.startswith("7 ") for seed in seeds["a"])


def test_limits_are_measured_at_the_beginning_and_at_the_end() -> None:
    diary = Diary()
    found = events(diary, entrant("a"), entrant("b"))
    assert sum(isinstance(event, Limits) for event in found) == 2
    runs = [at for at, line in enumerate(diary) if line.endswith((" 1", " 2"))]
    limits = [at for at, line in enumerate(diary) if line.endswith("limits")]
    assert limits[0] < runs[0]
    assert limits[-1] > runs[-1]


def too_full(*names: str) -> list[Entrant]:
    return [entrant(name, limits="too full") for name in names]


def test_limits_that_cannot_be_measured_are_a_note_and_lose_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for names in (("a",), ("a", "b")):  # in this process, and in processes of their own
        found = list(run(too_full(*names), METHOD, CASES, ROOM))
        assert not any(isinstance(event, Limits) for event in found)
        noted = [event for event in found if isinstance(event, Loaded) and event.about.notes[1:]]
        assert "The GPU's memory is too full." in noted[0].about.notes
        assert {row.status for row in rows(found)} == {"ok"}


@pytest.mark.parametrize("needed", [1, 60])
def test_nothing_comes_between_warming_up_and_measuring(needed: int) -> None:
    """The limits take a device's memory, and leave its caches and clocks to something else."""
    diary = Diary()
    events(diary, entrant("a", needed), entrant("b", needed))
    first = diary.index("a limits")
    assert set(diary[:first]) <= {"a loaded", "b loaded"}
    assert diary[first + 1 : first + 3] == ["a b1 n16 0", "a b2 n3 0"]
    assert diary.index("a b1 n20 1") > first + 2


def test_what_was_measured_and_what_it_takes_is_in_the_row() -> None:
    row = rows(events(Diary(), entrant("a")))[0]
    assert row.figures is not None
    assert row.figures.ttft_ms == 1000
    assert row.figures.seconds == SMALL.output_tokens
    assert row.work is not None
    assert (row.memory_bytes, row.peak_memory_bytes, row.joules) == (10, 20, 30.0)


def test_a_case_that_fails_is_one_row_and_is_not_tried_again() -> None:
    diary = Diary()
    failing = entrant("a", batch2="fails")
    found = rows(events(diary, failing, entrant("b")))
    (failed,) = [row for row in found if row.status != "ok"]
    assert (failed.series, failed.case, failed.repeat) == (series("a"), LARGE, 0)
    assert failed.reason == "It did not work."
    assert sum(line.startswith("a b2") for line in diary) == 1
    assert sum(row.status == "ok" for row in found) == 2 + 4


def test_a_case_that_fails_later_keeps_what_was_measured() -> None:
    method = Method("", repeats=4, warmup=0, seed=7)
    failing = entrant("a", batch1="fails in repeat 2")
    found = rows(events(Diary(), failing, method=method))
    own = [(row.repeat, row.status) for row in found if row.case == SMALL]
    assert own == [(1, "ok"), (2, "failed")]
    assert sum(row.case == LARGE for row in found) == 4


def test_one_that_dies_is_loaded_again_for_its_other_cases() -> None:
    diary = Diary()
    found = rows(events(diary, entrant("a", batch1="dies"), entrant("b")))
    dead = [row for row in found if row.status == "failed"]
    assert [(row.series.format, row.case, row.reason) for row in dead] == [("a", SMALL, "It died.")]
    assert diary.count("a loaded") == 2
    assert diary.count("b loaded") == 1
    assert keys([row for row in found if row.series == series("a")])[1:] == [
        ("a", 2, 1),
        ("a", 2, 2),
    ]


@pytest.mark.parametrize(
    ("mood", "status", "reason"),
    [
        ("missing", "missing", "The library is not installed."),
        ("unknown", "failed", "There is no such model."),
        ("too large", "does_not_fit", "m needs 20.0 GiB; 15.0 GiB free of 16.0"),
    ],
)
def test_one_that_cannot_be_loaded_has_a_row_for_every_case(
    mood: str, status: str, reason: str
) -> None:
    found = events(Diary(), entrant("a", loading=mood), entrant("b"))
    refused = [row for row in rows(found) if row.series == series("a")]
    assert [(row.case, row.repeat, row.status, row.reason) for row in refused] == [
        (case, 0, status, reason) for case in CASES
    ]
    assert sum(row.status == "ok" for row in rows(found)) == 4
    assert [event.series for event in found if isinstance(event, Loaded)] == [series("b")]


def test_no_round_begins_after_the_budget_and_the_first_always_does() -> None:
    method = Method("", repeats=9, warmup=0, seed=0, budget_s=60.0)
    seconds = iter([0.0, 0.0, 59.0, 61.0])
    found = rows(events(Diary(), entrant("a"), method=method, clock=lambda: next(seconds)))
    assert [row.repeat for row in found] == [1, 1, 2, 2]


def test_progress_names_the_series_and_counts_the_runs() -> None:
    found = events(Diary(), entrant("a"))
    loading = next(event for event in found if isinstance(event, LoadProgress))
    assert loading == LoadProgress("m a: reading weights", 1, 2)
    doing = [event for event in found if isinstance(event, Doing) and event.total]
    assert [(one.done, one.total) for one in doing] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert doing[0].text == "m a: batch 1, 4 in, 20 out, 1 of 2"
    assert Doing("warming up m a: batch 1, 4 in, 20 out") in found


def test_leaving_early_frees_everything() -> None:
    diary = Diary()
    running = run([entrant("a"), entrant("b")], METHOD, CASES, ROOM, load=diary.load)
    next(event for event in running if isinstance(event, Row))
    running.close()
    assert diary[-2:] == ["b closed", "a closed"]


@pytest.mark.parametrize("needed", [1, 60])
@pytest.mark.parametrize("stops_after", range(9))
def test_a_run_that_was_cut_off_anywhere_is_finished_and_repeats_nothing(
    needed: int, stops_after: int
) -> None:
    def entrants() -> tuple[Entrant, ...]:
        return entrant("a", needed), entrant("b", needed, batch2="fails in repeat 1")

    method = Method("", repeats=2, warmup=0, seed=7)
    unbroken = rows(list(run(entrants(), method, CASES, ROOM, load=Diary().load)))
    first = _take(run(entrants(), method, CASES, ROOM, load=Diary().load), stops_after)
    rest = rows(list(run(entrants(), method, CASES, ROOM, first, load=Diary().load)))
    assert sorted(keys(first + rest)) == sorted(keys(unbroken))
    assert {row.status for row in first + rest} == {"ok", "failed"}


def test_a_finished_run_loads_nothing() -> None:
    diary = Diary()
    done = rows(events(Diary(), entrant("a"), entrant("b")))
    assert events(diary, entrant("a"), entrant("b"), before=done) == []
    assert diary == []


def _take(running: Iterator[Event], count: int) -> list[Row]:
    found: list[Row] = []
    while len(found) < count:
        event = next(running, None)
        if event is None:
            break
        if isinstance(event, Row):
            found.append(event)
    return found


def test_what_breaks_in_this_process_is_a_row_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else the run could never be finished: every --resume would end there again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found = list(run([entrant("a", batch1="breaks")], METHOD, CASES, ROOM))
    (broken,) = [row for row in rows(found) if row.status != "ok"]
    assert (broken.case, broken.status) == (SMALL, "failed")
    assert broken.reason.startswith("It broke (RuntimeError: boom); see ")
    assert keys([row for row in rows(found) if row.status == "ok"]) == [("a", 2, 1), ("a", 2, 2)]

    found = list(run([entrant("a", loading="breaks")], METHOD, CASES, ROOM))
    assert [row.reason.partition(";")[0] for row in rows(found)] == [
        "Loading failed (RuntimeError: boom)"
    ] * 2
    logged = log_path().read_text(encoding="utf-8")
    assert ": m a broke\n" in logged
    assert "second line" in logged  # of the traceback
    assert capfd.readouterr() == ("", "")


def test_one_of_our_own_runs_in_this_process_and_several_in_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def named(name: str) -> Callable[[Entrant], Loading]:
        def loaded(one: Entrant) -> Loading:
            asked.append(f"{name} {one.series.format}")
            return load(**one.settings)

        return loaded

    monkeypatch.setattr("localfp4.bench.running.run.load_guarded", named("here"))
    monkeypatch.setattr("localfp4.bench.running.run.load_in_worker", named("worker"))
    list(run([entrant("a")], METHOD, CASES, ROOM))
    list(run([entrant("a"), entrant("b")], METHOD, CASES, ROOM))
    assert asked == ["here a", "worker a", "worker b"]
