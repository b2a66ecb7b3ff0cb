"""What tells the cells of a sweep apart, as columns."""

from collections.abc import Sequence

from localfp4.bench.workload import Case
from localfp4.documents.tables import Column


def case_columns(cases: Sequence[Case]) -> list[Column]:
    """Return what tells cases apart; depths where there are any."""
    columns = [
        Column("batch", [str(case.batch) for case in cases]),
        Column("in", [str(case.input_tokens) for case in cases]),
        Column("out", [str(case.output_tokens) for case in cases]),
    ]
    if any(case.depth for case in cases):
        columns.append(Column("depth", [str(case.depth) for case in cases]))
    return columns
