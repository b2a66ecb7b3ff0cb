"""One series of a run: loaded when its turn comes, warmed up, measured, and loaded again if it broke.

Torch-free; whatever goes wrong is a row.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from localfp4.bench.engines.contestant import (
    CaseFailedError,
    Contestant,
    ContestantGoneError,
    Entrant,
    Loading,
)
from localfp4.bench.events import Doing, Event, Loaded, cell, in_words
from localfp4.bench.figures import figures
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Method, Row, Status
from localfp4.bench.workload import Case
from localfp4.errors import ContextError, UserError
from localfp4.messages import LoadProgress

WARM_TOKENS = 16
"""Of an answer while warming up: by then everything has been run once."""

Load = Callable[[Entrant], Loading]


class Racer:
    """An entrant during a run.

    Attributes:
        left: The runs that it still has to do: cases, and repeats counted from 1.
    """

    def __init__(
        self, entrant: Entrant, method: Method, load: Load, before: Collection[Row] = ()
    ) -> None:
        own = [row for row in before if row.series == entrant.series]
        done = {(row.case, row.repeat) for row in own}
        failed = {row.case for row in own if row.status != "ok"}
        self.left = {
            (case, repeat)
            for case in entrant.cases
            for repeat in range(1, method.repeats + 1)
            if case not in failed and (case, repeat) not in done
        }
        self._entrant = entrant
        self._method = method
        self._load = load
        self._contestant: Contestant | None = None
        self._has_loaded = self._is_warm = False
        self._notes: list[str] = []

    @property
    def name(self) -> str:
        """Its series, in words."""
        return in_words(self._entrant.series)

    def loaded(self) -> Iterator[Event]:
        """Load it, where it is not loaded and has anything to run."""
        if self.left and self._contestant is None:
            yield from self._loaded()

    def ready(self) -> Iterator[Event]:
        """Load it and warm up every case that it still has to run, where that is to be done."""
        while self.left and not self._is_warm:
            yield from self.loaded()
            yield from self._warmed_up()

    def measure(self, case: Case, repeat: int) -> Iterator[Event]:
        """Run a case once and tell its row; nothing where it has no such run left."""
        if (case, repeat) not in self.left:
            return
        yield from self.ready()
        if (case, repeat) not in self.left:
            return
        assert self._contestant is not None
        self.left.discard((case, repeat))
        try:
            measured = self._contestant.run(case, self._seed(case, str(repeat)))
            found = figures(measured)
        except CaseFailedError as error:
            yield self._failed(case, repeat, error)
            return
        yield from self._noted(measured.notes)
        yield Row(
            series=self._entrant.series,
            case=case,
            repeat=repeat,
            status="ok",
            figures=found,
            work=self._contestant.work(case),
            memory_bytes=measured.memory_bytes,
            peak_memory_bytes=measured.peak_memory_bytes,
            joules=measured.joules,
        )

    def limits(self) -> Iterator[Limits | Loaded]:
        """Measure the device, where it is loaded and there is one; or note why that cannot be."""
        if self._contestant is None:
            return
        try:
            found = self._contestant.limits()
        except ContestantGoneError:
            self.close()
        except (CaseFailedError, UserError) as error:
            yield from self._noted([str(error)])
        else:
            yield from () if found is None else (found,)

    def close(self) -> None:
        """Free what was loaded."""
        contestant, self._contestant = self._contestant, None
        self._is_warm = False
        if contestant is not None:
            contestant.close()

    def _noted(self, notes: Collection[str]) -> Iterator[Loaded]:
        """Tell what a run has brought to light of its series, once."""
        assert self._contestant is not None
        if fresh := [note for note in notes if note not in self._notes]:
            self._notes += fresh
            about = self._contestant.about
            yield Loaded(self._entrant.series, replace(about, notes=(*about.notes, *self._notes)))

    def _loaded(self) -> Iterator[Event]:
        try:
            with closing(self._load(self._entrant)) as loading:
                self._contestant = yield from self._named(loading)
        except CaseFailedError as error:
            yield from self._give_up(error.status, str(error))
        except UserError as error:
            status: Status = "does_not_fit" if isinstance(error, ContextError) else "failed"
            yield from self._give_up(status, str(error).partition("\n")[0])
        else:
            if not self._has_loaded:
                yield Loaded(self._entrant.series, self._contestant.about)
            self._has_loaded = True

    def _named(self, loading: Loading) -> Generator[LoadProgress, None, Contestant]:
        """Say whose loading it is."""
        while True:
            try:
                step = next(loading)
            except StopIteration as end:
                contestant: Contestant = end.value
                return contestant
            yield replace(step, stage=f"{self.name}: {step.stage}")

    def _warmed_up(self) -> Iterator[Event]:
        """Run every case that is left a little; where one breaks the contestant, stop there."""
        for case in self._cases():
            short = replace(case, output_tokens=min(case.output_tokens, WARM_TOKENS))
            for number in range(self._method.warmup):
                if self._contestant is None:
                    return
                yield Doing(f"warming up {self.name}: {cell(case)}")
                try:
                    self._contestant.run(short, self._seed(case, f"warm-up {number}"))
                except CaseFailedError as error:
                    yield self._failed(case, 0, error)
                    break
        self._is_warm = self._contestant is not None

    def _cases(self) -> Sequence[Case]:
        """Return the cases that it still has to run, in their order."""
        left = {case for case, _ in self.left}
        return [case for case in self._entrant.cases if case in left]

    def _failed(self, case: Case, repeat: int, error: CaseFailedError) -> Row:
        self.left = {(one, number) for one, number in self.left if one != case}
        if isinstance(error, ContestantGoneError):
            self.close()
        return Row(self._entrant.series, case, repeat, error.status, str(error))

    def _give_up(self, status: Status, reason: str) -> Iterator[Row]:
        cases = self._cases()
        self.left.clear()
        for case in cases:
            yield Row(self._entrant.series, case, 0, status, reason)

    def _seed(self, case: Case, run: str) -> str:
        """Name a stream of prompts of its own for every run, the same for every series."""
        sizes = f"{case.batch} {case.input_tokens} {case.output_tokens} {case.depth}"
        return f"{self._method.seed} {sizes} {run}"
