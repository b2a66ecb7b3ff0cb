"""The places of a model whose weights are quantised; torch-free."""

from collections.abc import Iterator
from dataclasses import dataclass

HEAD = "lm_head"
"""The output projection, where it has a weight of its own."""


@dataclass(frozen=True, slots=True)
class Site:
    """Linears that run merged: they read the same input and share a format and a global scale.

    Attributes:
        prefixes: Their names in a checkpoint of single linears, such as
            ``model.layers.0.self_attn.q_proj`` or ``model.layers.0.mlp.experts.7.gate_proj``.
        rows: Rows of each.
        columns: Columns K of all.
        expert: Which expert of a mixture it belongs to; ``None`` outside of one.
    """

    prefixes: tuple[str, ...]
    rows: tuple[int, ...]
    columns: int
    expert: int | None = None

    @property
    def name(self) -> str:
        """What it is called in reports and work files: the first of its linears."""
        return self.prefixes[0]

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return sum(self.rows) * self.columns

    def parts(self) -> Iterator[tuple[str, int, int]]:
        """Yield the name, the first row and the row after the last of each linear."""
        start = 0
        for prefix, rows in zip(self.prefixes, self.rows, strict=True):
            yield prefix, start, start + rows
            start += rows
