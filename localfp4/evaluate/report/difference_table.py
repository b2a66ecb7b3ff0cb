"""Paired differences as a table."""

import math
from collections.abc import Mapping, Sequence

from localfp4.documents.markdown import cell
from localfp4.documents.tables import Column, tables
from localfp4.evaluate.paired import Difference
from localfp4.evaluate.records import NLL, Subject
from localfp4.evaluate.report.metrics import less_is_better, metric_of, number, signed

_LEAST_COLUMNS = 2
"""What every table has: the difference, and what it shows."""

_PAIRED = (
    "A minus B on the items that both did, with the interval of 95% of a paired bootstrap; of "
    "perplexities A over B."
)
_MCNEMAR = (
    "Of items that are right or wrong McNemar's exact p decides, below 0.05, over those that only A "
    "or only B had right."
)


def difference_table(
    found: Sequence[Difference], names: Mapping[Subject, str], width: int
) -> list[list[str]]:
    """Return the lines of a table for each model that others are compared with.

    Args:
        found: The differences; of none there is no table.
        names: What to call models.
        width: Characters that a table should not exceed. What is asked for least is left out where
            there is no room.
    """
    lines = []
    for other in dict.fromkeys(one.b for one in found):
        rows = [one for one in found if one.b == other]
        keys = [
            Column(f"A, and B is {cell(names[other])}", [cell(names[one.a]) for one in rows], True),
            Column("task", [cell(one.task) for one in rows], is_text=True),
            Column("figure", [cell(metric_of(one.metric).title) for one in rows], is_text=True),
        ]
        columns = _columns(rows)
        made = tables(keys, [columns], {}, width)
        while len(made) > 1 and len(columns) > _LEAST_COLUMNS:
            columns.pop()
            made = tables(keys, [columns], {}, width)
        lines += made
    return lines


def _columns(rows: Sequence[Difference]) -> list[Column]:
    columns = [
        Column("A - B (95%)", [change(one) for one in rows]),
        Column("A shown", [_shown(one) for one in rows], is_text=True),
    ]
    if any(one.mcnemar_p is not None for one in rows):
        columns.append(Column("McNemar p", [_p(one.mcnemar_p) for one in rows]))
        columns.append(Column("only A : B", [_flips(one) for one in rows]))
    return [*columns, Column("items", [f"{one.items:,}" for one in rows])]


def explained(found: Sequence[Difference]) -> str:
    """Say what the table shows; nothing where it has no rows."""
    if not found:
        return ""
    is_right_or_wrong = any(one.mcnemar_p is not None for one in found)
    return f"{_PAIRED} {_MCNEMAR}" if is_right_or_wrong else _PAIRED


def change(one: Difference) -> str:
    """Return a difference with its interval; of perplexities the ratio."""
    ends = () if one.low is None or one.high is None else (one.low, one.high)
    if one.metric == NLL:
        ratio, *rest = (f"{math.exp(value):.4f}" for value in (one.difference, *ends))
        text = f"ratio {ratio}"
    elif metric_of(one.metric).kind == "share":
        points, *rest = (signed(100 * value, 2) for value in (one.difference, *ends))
        text = f"{points} pp"
    else:
        plain, *rest = (number(value) for value in (one.difference, *ends))
        text = plain
    return f"{text} ({'…'.join(rest)})" if rest else text


def verdict(one: Difference) -> str:
    """Say whether A is better or worse than B, as far as the interval shows."""
    if not one.is_shown:
        return "equal" if one.difference == 0 else "none shown"
    return "better" if (one.difference < 0) == less_is_better(one.metric) else "worse"


def _shown(one: Difference) -> str:
    said = verdict(one)
    return "neither" if said == "none shown" else said


def _flips(one: Difference) -> str:
    return "" if one.only_a is None else f"{one.only_a} : {one.only_b}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"
