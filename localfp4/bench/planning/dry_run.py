"""What a run would be, before anything is loaded: which cells fit, how many runs, and how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.bench.planning.entrants import fittings, needed_bytes
from localfp4.bench.planning.estimate import least_seconds
from localfp4.bench.planning.fitting import Fitting
from localfp4.bench.planning.lineup import Seat, lineup
from localfp4.bench.records import Method
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.models.plan import Machine
from localfp4.models.plan.memory_plan import EXPECTED_SHARE
from localfp4.telemetry.cards import Card


@dataclass(frozen=True, slots=True)
class Prospect:
    """A series of a run that was not begun.

    Attributes:
        seat: Who.
        fitting: Which cells it runs; ``None`` where nothing runs it.
    """

    seat: Seat
    fitting: Fitting | None

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cells that it runs."""
        return () if self.fitting is None else self.fitting.cases

    def refusal(self, case: Case) -> str:
        """Say why it does not run a cell; empty where it does."""
        if self.fitting is None:
            return self.seat.reason
        return self.fitting.refused.get(case, "")


@dataclass(frozen=True, slots=True)
class DryRun:
    """A run that was not begun.

    Attributes:
        where: What it was planned for.
        machine: The same in bytes.
        card: The card of that machine, if it has one that is known.
        method: How it would be measured.
        cases: Every cell.
        prospects: Every series.
    """

    where: str
    machine: Machine
    card: Card | None
    method: Method
    cases: tuple[Case, ...]
    prospects: tuple[Prospect, ...]

    @property
    def running(self) -> tuple[Fitting, ...]:
        """What would be loaded."""
        return tuple(one.fitting for one in self.prospects if one.fitting and one.fitting.cases)

    @property
    def runs(self) -> int:
        """Runs that would be measured."""
        return sum(len(one.cases) for one in self.running) * self.method.repeats

    @property
    def together_bytes(self) -> int:
        """What all that would be loaded takes at once."""
        return sum(needed_bytes(fitting, self.machine) for fitting in self.running)

    @property
    def stays_loaded(self) -> bool:
        """Whether all of it fits the device at once."""
        return len(self.running) <= 1 or self.together_bytes <= self.machine.room_bytes

    @property
    def loadings(self) -> int:
        """How often each is loaded."""
        return 1 if self.stays_loaded else self.method.repeats

    @property
    def warm_ups(self) -> int:
        """Runs that are thrown away."""
        return sum(len(one.cases) for one in self.running) * self.method.warmup * self.loadings

    @property
    def expected_s(self) -> float | None:
        """How long all runs take where :data:`EXPECTED_SHARE` of the limits is reached.

        Without loading; ``None`` where the limits are not known.
        """
        if self.card is None or not self.running:
            return None
        seconds = [
            least_seconds(fitting, self.card, self.method, self.loadings)
            for fitting in self.running
        ]
        known = [one for one in seconds if one is not None]
        return sum(known) / EXPECTED_SHARE if len(known) == len(seconds) else None


def dry_run(
    models: Sequence[str],
    formats: Sequence[str],
    cases: Sequence[Case],
    config: EngineConfig,
    where: str,
    machine: Machine,
    card: Card | None,
    method: Method,
) -> DryRun:
    """Plan a run.

    Args:
        models: As the user called them; they are on this computer.
        formats: What was asked for of each.
        cases: What every series should run.
        config: What else was asked for.
        where: Names the machine.
        machine: This one, or one with a card that is not here.
        card: Of that machine, if it has one that is known.
        method: How it would be measured.

    Raises:
        UserError: A model cannot be found, read or supported.
    """
    seats = lineup(models, formats, config, machine)
    prospects = tuple(map(Prospect, seats, fittings(seats, machine, cases)))
    return DryRun(where, machine, card, method, tuple(cases), prospects)
