"""Goes through a run with the user watching, and keeps what comes of it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import import_module

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.events import Doing, Event, Loaded, cell, in_words
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Row, Run
from localfp4.bench.running.grown import grown
from localfp4.bench.running.lines import Header
from localfp4.bench.running.run import run
from localfp4.bench.running.store import NotWrittenError, RunFile
from localfp4.cli import EXIT_INTERRUPTED
from localfp4.cli.bench.destination import Destination
from localfp4.cli.failure import complain
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.progress import describe, overwrite
from localfp4.cli.report_file import note
from localfp4.errors import UserError
from localfp4.messages import LoadProgress
from localfp4.text.sanitize import sanitize


@dataclass(frozen=True, slots=True)
class Field:
    """Who is to run, and who cannot.

    Attributes:
        entrants: In their order.
        refused: Rows of what cannot run, known before anything is loaded.
        free_bytes: Memory of the device that the entrants share.
    """

    entrants: Sequence[Entrant]
    refused: Sequence[Row] = ()
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        run: Everything that is known of it, with what was known before.
        exit_code: 0 where it is finished, 130 where the user ended it, 2 where it could not go on.
    """

    run: Run
    exit_code: int


def go(field: Field, header: Header, destination: Destination, *, resume: bool) -> Outcome:
    """Measure everything, showing progress on standard error.

    Raises:
        UserError: The record cannot be begun, or not be gone on with.
    """
    with ExitStack() as stack:
        record, known = _record(header, destination, resume=resume)
        if record is not None:
            stack.enter_context(record)
        keeper = _Keeper(known, record)
        try:
            for row in field.refused:
                keeper.take_new(row)
            _import_alone(field.entrants)
            events = run(
                field.entrants, header.method, header.cases, field.free_bytes, keeper.run.rows
            )
            with closing(events):
                _watch(events, keeper)
        except KeyboardInterrupt:
            return Outcome(keeper.run, EXIT_INTERRUPTED)
        except NotWrittenError as error:
            complain(str(error))
            return Outcome(keeper.run, 2)
        finally:
            overwrite("")
    return Outcome(keeper.run, 0)


class _Keeper:
    """Adds up what is told of a run, and writes it down."""

    def __init__(self, known: Run, record: RunFile | None) -> None:
        self.run = known
        self._record = record

    def take_new(self, row: Row) -> None:
        """Add a row of a cell of which nothing is known from before."""
        if all((one.series, one.case) != (row.series, row.case) for one in self.run.rows):
            self.take(row)

    def take(self, event: Loaded | Limits | Row) -> None:
        """Add something that lasts.

        Raises:
            NotWrittenError: It cannot be kept on the disk.
        """
        if self._record is not None:
            self._record.append(event)
        self.run = grown(self.run, event)


def _record(
    header: Header, destination: Destination, *, resume: bool
) -> tuple[RunFile | None, Run]:
    """Open the record of a run, and return what it knows."""
    if destination.folder is None:
        return None, Run(header.environment, header.method)
    if resume:
        return RunFile.resume(destination.folder, header)
    return RunFile.create(destination.folder, header), Run(header.environment, header.method)


def _import_alone(entrants: Sequence[Entrant]) -> None:
    """Import what will run in this process, where Ctrl-C within torch might be swallowed."""
    if len(entrants) == 1 and entrants[0].series.engine == "localfp4":
        with exit_on_interrupt():
            import_module(entrants[0].loader.partition(":")[0])


def _watch(events: Iterator[Event], keeper: _Keeper) -> None:
    is_watched = sys.stderr.isatty()
    for event in events:
        match event:
            case LoadProgress():
                overwrite(describe(event, 0, 0.0))
            case Doing():
                share = f"{event.done + 1}/{event.total} · " if event.total else ""
                overwrite(sanitize(share + event.text))
            case Row():
                keeper.take(event)
                # On a terminal the next line would be over it at once.
                if not is_watched or event.status != "ok":
                    overwrite("")
                    note(_told(event))
            case _:
                keeper.take(event)


def _told(row: Row) -> str:
    name = f"{in_words(row.series)}: {cell(row.case)}"
    if row.figures is None:
        return f"{name}: {row.reason}"
    return f"{name}, repeat {row.repeat}: {row.figures.output_tokens_per_s:.1f} tok/s over all"


def require_any(found: Run) -> None:
    """Refuse to end well where nothing could be measured.

    Raises:
        UserError: Every row says why it could not be.
    """
    if not any(row.status == "ok" for row in found.rows):
        first = next((row.reason for row in found.rows), "there was nothing to run")
        raise UserError(f"Nothing could be measured: {first}")
