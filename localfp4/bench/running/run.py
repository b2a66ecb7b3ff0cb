"""Runs every case of every series, repeat by repeat; torch-free.

A machine that slows down or speeds up so touches all of them alike. Series that fit the device
together stay loaded and take turns at every case. Others take turns at the device: each is loaded
anew for every repeat.
"""

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.engines.guarded import load_guarded
from localfp4.bench.engines.worker import load_in_worker
from localfp4.bench.events import Doing, Event, cell
from localfp4.bench.records import Method, Row
from localfp4.bench.running.racer import Load, Racer
from localfp4.bench.workload import Case

Clock = Callable[[], float]

_OURS = ("localfp4", "server")
"""What may run in this process where it is alone: it prints nothing, and Ctrl-C cannot break it."""


def run(
    entrants: Sequence[Entrant],
    method: Method,
    cases: Sequence[Case],
    device_free_bytes: int,
    before: Collection[Row] = (),
    *,
    load: Load | None = None,
    clock: Clock = time.perf_counter,
) -> Generator[Event, None, None]:
    """Measure all that is left of a run, and tell what happens.

    Every case is warmed up by every series after each loading. A case that fails once is not run
    again by that series. Closing the generator ends whatever runs.

    Args:
        entrants: Who runs, and which of the cases.
        method: How.
        cases: All cases, in their order.
        device_free_bytes: Memory of the device that they share.
        before: Rows that are known already, whatever came of them.
        load: Loads an entrant; by default in a process of its own, and a single one in this.
        clock: Tells seconds.
    """
    if load is None:
        alone = len(entrants) == 1 and entrants[0].series.engine in _OURS
        load = load_guarded if alone else load_in_worker
    racers = [Racer(entrant, method, load, before) for entrant in entrants]
    race = _Race(tuple(racers), method, tuple(cases), clock, sum(len(one.left) for one in racers))
    if fit_together(entrants, device_free_bytes):
        yield from _taking_turns(race)
    else:
        yield from _loading_in_turn(race)


def fit_together(entrants: Collection[Entrant], device_free_bytes: int) -> bool:
    """Say whether all can be loaded at once; not where it is unknown what one takes."""
    if len(entrants) <= 1:
        return True
    needed = [entrant.needed_bytes for entrant in entrants]
    known = [size for size in needed if size is not None]
    return len(known) == len(needed) and sum(known) <= device_free_bytes


@dataclass(frozen=True, slots=True)
class _Race:
    """What a run goes through.

    Attributes:
        racers: The series, in their order.
        method: How they are measured.
        cases: In their order.
        clock: Tells seconds.
        total: Runs in all, as long as none fails.
    """

    racers: tuple[Racer, ...]
    method: Method
    cases: tuple[Case, ...]
    clock: Clock
    total: int

    def rounds(self) -> Iterator[int]:
        """Yield the repeats in which anything is left, until the time is over; the first always."""
        started = None
        for repeat in range(1, self.method.repeats + 1):
            if not any(number == repeat for racer in self.racers for _, number in racer.left):
                continue
            started = self.clock() if started is None else started
            if self.method.budget_s is not None and self.clock() - started > self.method.budget_s:
                return
            yield repeat

    def order(self, repeat: int) -> tuple[Racer, ...]:
        """Return those that are loaded together as they follow each other in a repeat.

        Every repeat begins with the next one, so that none always finds the device that the same
        other has left, warm or cold.
        """
        first = (repeat - 1) % len(self.racers)
        return self.racers[first:] + self.racers[:first]

    def measure(self, racer: Racer, case: Case, repeat: int) -> Iterator[Event]:
        """Measure once, and say so before."""
        if (case, repeat) in racer.left:
            done = self.total - sum(len(one.left) for one in self.racers)
            what = f"{racer.name}: {cell(case)}, {repeat} of {self.method.repeats}"
            yield Doing(what, done, self.total)
            yield from racer.measure(case, repeat)


def _taking_turns(race: _Race) -> Iterator[Event]:
    """Keep all loaded, and let each run a case before the next case comes."""
    with _closing(race.racers):
        for racer in race.racers:
            yield from racer.loaded()
        # Before the warm-up, which is for what the measured runs find afterwards.
        yield from _limits(race.racers)
        for racer in race.racers:
            yield from racer.ready()
        for repeat in race.rounds():
            for case in race.cases:
                for racer in race.order(repeat):
                    yield from race.measure(racer, case, repeat)
        yield from _limits(race.racers)


def _loading_in_turn(race: _Race) -> Iterator[Event]:
    """Load one after the other, and let each run every case before it goes."""
    has_begun = False
    for repeat in race.rounds():
        for racer in race.racers:
            if not any(number == repeat for _, number in racer.left):
                continue
            with _closing([racer]):
                yield from racer.loaded()
                if not has_begun:
                    yield from racer.limits()
                has_begun = True
                yield from racer.ready()
                for case in race.cases:
                    yield from race.measure(racer, case, repeat)
                yield from racer.limits()


def _limits(racers: Sequence[Racer]) -> Iterator[Event]:
    """Measure the device that all share, by the first who can."""
    for racer in racers:
        found = [*racer.limits()]
        if found:
            yield from found
            return


@contextmanager
def _closing(racers: Sequence[Racer]) -> Iterator[None]:
    """Free everything in the end, whatever the end was."""
    with ExitStack() as stack:
        for racer in racers:
            stack.callback(racer.close)
        yield
