"""Who of this engine enters a run: series with the cases that fit, and rows for what does not."""

from collections.abc import Iterable, Sequence

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.planning.fitting import Fitting, fit
from localfp4.bench.planning.lineup import Seat, lineup
from localfp4.bench.records import Row, Status
from localfp4.bench.workload import Case
from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.models.forecast import Candidate, candidate, weigh
from localfp4.models.plan import Machine

_LOADER = "localfp4.bench.engines.ours:load"

_PROCESS_BYTES = 400 * 2**20
"""Main memory of a process with Python and torch in it, whatever it runs: 260 MiB were measured on
Linux with a CPU build of torch, and others are larger."""


def own_entrants(
    models: Sequence[str],
    formats: Sequence[str],
    cases: Sequence[Case],
    config: EngineConfig,
    machine: Machine,
    *,
    ignore_eos: bool = True,
) -> tuple[tuple[Entrant, ...], tuple[Row, ...]]:
    """Return who enters, and a row for every case of a series that does not run it.

    Args:
        models: As the user called them; they are on this computer.
        formats: What was asked for of each.
        cases: What every series should run.
        config: What else was asked for; its model and precision do not count.
        machine: This one.
        ignore_eos: Whether answers have their exact length.

    Raises:
        UserError: A model cannot be found, read or supported.
    """
    entrants: list[Entrant] = []
    refused: list[Row] = []
    seats = lineup(models, formats, config, machine)
    for seat, fitting in zip(seats, fittings(seats, machine, cases), strict=True):
        if fitting is None:
            refused += _rows(seat, seat.status, dict.fromkeys(cases, seat.reason).items())
            continue
        refused += _rows(seat, "does_not_fit", fitting.refused.items())
        if fitting.plan is not None:
            entrants.append(_entrant(seat, fitting, machine, ignore_eos=ignore_eos))
    return tuple(entrants), tuple(refused)


def fittings(
    seats: Sequence[Seat], machine: Machine, cases: Sequence[Case]
) -> list[Fitting | None]:
    """Find out which cases of each series fit a machine; ``None`` where nothing runs it.

    Raises:
        UserError: A model cannot be found, read or supported.
    """
    opened: dict[tuple[str, str | None], Candidate] = {}
    found: list[Fitting | None] = []
    for seat in seats:
        config = seat.config
        if config is None:
            found.append(None)
            continue
        key = config.model, config.rounding
        if key not in opened:
            opened[key] = candidate(find(config.model), config.rounding)
        found.append(fit(config, weigh(config, opened[key], machine), machine, cases))
    return found


def needed_bytes(fitting: Fitting, machine: Machine) -> int:
    """Return what a process takes of a device that runs some cases; nothing where there are none."""
    if fitting.plan is None:
        return 0
    return fitting.plan.total_bytes + (0 if machine.is_gpu else _PROCESS_BYTES)


def _entrant(seat: Seat, fitting: Fitting, machine: Machine, *, ignore_eos: bool) -> Entrant:
    settings = {
        "config": fitting.config,
        "cases": fitting.cases,
        "runs": seat.runs,
        "note": seat.note,
        "ignore_eos": ignore_eos,
    }
    return Entrant(seat.series, _LOADER, settings, fitting.cases, needed_bytes(fitting, machine))


def _rows(seat: Seat, status: Status, reasons: Iterable[tuple[Case, str]]) -> list[Row]:
    return [Row(seat.series, case, 0, status, reason) for case, reason in reasons]
