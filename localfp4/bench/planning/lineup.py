"""Which models in which formats are the series of a run, and what runs each; torch-free."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from localfp4.bench.planning.formats import Instead, Runs, Unsupported, entry, stored_as
from localfp4.bench.records import Series, Status
from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.models.plan import Machine
from localfp4_kernels.target import Target

_NEWEST_TRITON = (3, 7)


@dataclass(frozen=True, slots=True)
class Seat:
    """A series, before anything is known of its size.

    Attributes:
        series: Its model and format.
        config: What runs it; ``None`` where nothing does.
        runs: What runs where the format that was asked for cannot, and why.
        note: What is not as the name of the format has it, a sentence; empty where all is.
        status: Of its rows where nothing runs it: ``replaced`` or ``unsupported``.
        reason: Why nothing does.
    """

    series: Series
    config: EngineConfig | None = None
    runs: str = ""
    note: str = ""
    status: Status = "unsupported"
    reason: str = ""


def lineup(
    models: Sequence[str],
    formats: Sequence[str],
    config: EngineConfig,
    machine: Machine,
) -> tuple[Seat, ...]:
    """Return the series of every model in every format.

    A format that the machine does not run is replaced by the one that would run in its place; where
    that is a series of the run itself, it is not run twice.

    Args:
        models: As the user called them; they are on this computer.
        formats: What was asked for: ``auto``, the model as the engine runs it best, or those of
            :data:`localfp4.bench.planning.formats.FORMATS`.
        config: What else was asked for.
        machine: Where.

    Raises:
        UserError: A model cannot be found or read, or there is no such format.
    """
    triton = _triton_version()
    target = None if machine.capability is None else Target(machine.capability, multiprocessors=1)
    seats = []
    for model in models:
        stored, named = stored_as(find(model)), replace(config, model=model)
        for form in formats:
            found = entry(stored, form, named, target, triton)
            seats.append(_seat(Series(model, form), found, formats))
    return tuple(seats)


def _triton_version() -> tuple[int, int]:
    """Return which Triton is installed, without importing it; the newest known where none is."""
    for name in ("triton", "triton-windows"):
        with suppress(PackageNotFoundError, ValueError):
            major, minor = version(name).split(".")[:2]
            return int(major), int(minor)
    return _NEWEST_TRITON


def _seat(series: Series, found: Runs | Instead | Unsupported, formats: Sequence[str]) -> Seat:
    match found:
        case Runs(config, note):
            return Seat(series, config, note=note)
        case Unsupported(reason):
            return Seat(series, reason=reason)
    if found.format in formats:
        reason = f"{found.format} runs instead, since {found.reason}."
        return Seat(series, status="replaced", reason=reason)
    return Seat(series, found.config, runs=f"{found.format}, since {found.reason}")
