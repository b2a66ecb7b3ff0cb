"""What ``quantize`` tells at the end."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from localfp4.cli.quantize.progress import duration
from localfp4.quantize.decimal_bytes import in_decimal
from localfp4.quantize.export.figures import KindFigures
from localfp4.quantize.job import Made
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment
from localfp4.text.sanitize import sanitize


def in_words(model: str, made: Made) -> str:
    """Return the lines that tell a person.

    Args:
        model: The original, as the user called it.
        made: What came of it.
    """
    share = made.bytes_after / made.bytes_before
    lines = [
        f"{made.out}: {in_decimal(made.bytes_after, 2)}, {share:.0%} of the original, "
        f"in {duration(made.duration_s)}",
        f"memory: {in_decimal(made.peak_bytes, 2)} at its peak, {in_decimal(made.planned_bytes, 2)} planned",
        "",
        *_kinds(made.kinds),
        made.error_meaning,
        "",
        f"localfp4 chat {made.out}",
        f"localfp4 eval {made.out} --reference {model}",
    ]
    return "\n".join(sanitize(line).rstrip() for line in lines)


def as_object(model: str, made: Made) -> dict[str, Any]:
    """Return the same in JSON types."""
    return {
        "environment": asdict(environment(usable_cores())),
        "model": model,
        "out": str(made.out),
        "bytes_before": made.bytes_before,
        "bytes_after": made.bytes_after,
        "duration_s": round(made.duration_s, 3),
        "planned_bytes": made.planned_bytes,
        "peak_bytes": made.peak_bytes,
        "error_meaning": made.error_meaning,
        "rows": [asdict(kind) for kind in made.kinds],
        "notes": list(made.notes),
    }


def _kinds(kinds: tuple[KindFigures, ...]) -> Iterator[str]:
    """Yield a table of how linears turned out."""
    rows = [
        (one.kind, one.format, str(one.linears), f"{one.mean:.2%}", f"{one.largest:.2%}")
        for one in kinds
    ]
    head = ("linears", "format", "number", "mean error", "largest")
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        left = f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}"
        numbers = "  ".join(f"{row[at]:>{widths[at]}}" for at in range(2, len(head)))
        yield f"{left}  {numbers}"
