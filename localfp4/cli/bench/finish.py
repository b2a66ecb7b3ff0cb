"""From who runs to the last file: the part that every benchmark ends with."""

from collections.abc import Mapping
from typing import Any

from localfp4.bench.quality import require_joined
from localfp4.cli.bench.destination import Destination
from localfp4.cli.bench.go import Field, go, require_any
from localfp4.cli.bench.header import header, method
from localfp4.cli.bench.results import Extras, hand_out
from localfp4.cli.bench.wanted import Wanted


def finish(
    field: Field,
    chosen: Wanted,
    place: Destination,
    made: Extras,
    options: Mapping[str, Any],
    gpu: str | None = None,
) -> int:
    """Measure, hand out the results, and return the exit code.

    Args:
        field: Who runs and who cannot.
        chosen: What is run.
        place: Where results go.
        made: What is made of them besides the report.
        options: Of the command.
        gpu: Name of the card; ``None`` on a CPU, and for a server.

    Raises:
        UserError: A file cannot be written, or nothing could be measured.
    """
    how = method(chosen, options)
    first = header(field, chosen, how, gpu, options)
    require_joined(first.series, made.quality)
    outcome = go(field, first, place, resume=options["resume"])
    if outcome.run.rows:
        hand_out(outcome.run, place, made)
    if not outcome.exit_code:
        require_any(outcome.run)
    return outcome.exit_code
