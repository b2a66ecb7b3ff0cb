"""A step's rows on their way into matrix products.

Plain torch computes them at once. Kernels take their source instead, so that a norm, a gate or the
sum with the residual stream is computed in the launch that brings rows into a product's form.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from localfp4_kernels.dispatch import Phase
from localfp4_kernels.linear.source import Rows, Source
from localfp4_kernels.target import Target

if TYPE_CHECKING:
    from localfp4_kernels.linear.produce import Sink

R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Tokens:
    """Rows that kernels compute where they are read.

    What reads them first may change the residual stream; what reads them later finds it changed.

    Attributes:
        source: What computes them; after a first reading, what computes them again.
        decodes: The first rows, which decode.
        target: What runs it.
    """

    source: Source
    decodes: int
    target: Target

    def phases(self) -> Iterator[tuple[Phase, slice, Source]]:
        """Yield each phase that has rows, which they are, and what computes them; all are read."""
        source, count = self.source, len(self.source.x)
        self.source = source.after()
        if self.decodes in (0, count):
            phase = Phase.DECODE if self.decodes else Phase.PREFILL
            yield phase, slice(None), source
            return
        for phase, rows in (
            (Phase.DECODE, slice(self.decodes)),
            (Phase.PREFILL, slice(self.decodes, None)),
        ):
            yield phase, rows, source.part(rows)

    def then(self, source: Source) -> "Tokens":
        """Return what a layer computes from them, in the same phases."""
        return Tokens(source, self.decodes, self.target)

    @property
    def rows(self) -> torch.Tensor:
        """The rows themselves, ``[T, K]``; they are computed once."""
        if not isinstance(self.source, Rows) or not self.source.x.is_contiguous():
            # Triton takes a while to import, and only kernels need it.
            from localfp4_kernels.linear.arrange import ToRows
            from localfp4_kernels.linear.produce import produce

            sink = ToRows(self.source.x.dtype)
            self.source = Rows(produce(self.source, sink, target=self.target))
        return self.source.x

    def rows_and(self, sink: "Sink[R]") -> R:
        """Return them in another form; the rows are written in the same launch."""
        from localfp4_kernels.linear.produce import produce

        x = self.source.x
        rows = torch.empty(len(x), self.source.width, dtype=x.dtype, device=x.device)
        form = produce(self.source, sink, target=self.target, rows=rows)
        self.source = Rows(rows)
        return form


Input = torch.Tensor | Tokens
"""Rows ``[T, K]`` that a layer takes: a tensor in plain torch, or what kernels compute."""


def rows_of(x: Input) -> torch.Tensor:
    """Return the rows themselves, ``[T, K]``."""
    return x.rows if isinstance(x, Tokens) else x
