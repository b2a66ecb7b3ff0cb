"""Tables in Markdown that also line up as plain text."""

from collections.abc import Sequence

from localfp4.bench.roofline import Limits
from localfp4.messages import ModelInfo
from localfp4.telemetry.environment import Environment
from localfp4.text.sanitize import sanitize

MIB = 2**20


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, numbers and all else to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, [f"{'-' * (width - 1)}:" for width in widths], *rows]
    return [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def heading(environment: Environment, model: ModelInfo, limits: Limits, method: str) -> list[str]:
    """Return lines that say what was measured, where, with what and how."""
    where = environment.cpu if environment.gpu is None else environment.gpu
    driver = f" · driver {environment.driver}" if environment.driver else ""
    triton = f" · triton {environment.triton}" if environment.triton else ""
    lines = [
        f"**{model.name}** · {model.weight_format} · {model.kernel_path} · {model.dtype}",
        f"{where} · {counted(environment.threads, 'thread')} · {environment.os}{driver}",
        f"localfp4 {environment.localfp4} · Python {environment.python}"
        f" · torch {environment.torch}{triton} · {environment.date}",
        f"measured limits: {limits.in_words()}",
        f"loaded in {model.load_s:.2f} s · weights {model.weight_bytes / MIB:.1f} MiB · {method}",
    ]
    # Two spaces break a line in Markdown.
    return [f"{one_line(line)}  " for line in lines] + [""]


def one_line(text: str) -> str:
    """Return foreign text as printable words on one line."""
    return " ".join(sanitize(text).split())


def cell(text: str) -> str:
    """Return foreign text that cannot break a table."""
    return one_line(text).replace("|", "\\|")


def counted(number: int, thing: str) -> str:
    """Return a number with its noun."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def short(number: float) -> str:
    """Return a number with about three digits."""
    digits = 0 if number >= 1000 else 1 if number >= 10 else 2
    return f"{number:.{digits}f}"
