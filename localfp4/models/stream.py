"""The residual stream, on which the blocks of a decoder read and write."""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.execution import Execution
from localfp4.models.norm import Norm
from localfp4.models.tokens import Input, Tokens
from localfp4_kernels.linear.norm_source import Normed, Summed, Update
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.target import Target


class Stream(Protocol):
    """The residual stream ``[T, H]`` of a step."""

    def read(self, norm: Norm | None) -> Input:
        """Return the stream, normalised where there is a norm."""

    def add(self, update: torch.Tensor, norm: Norm | None, factor: float = 1.0) -> None:
        """Add ``update`` ``[T, H]``, normalised where there is a norm, times a factor."""

    def multiply(self, scalar: torch.Tensor) -> None:
        """Multiply the stream by ``scalar`` ``[1]``."""


def open_stream(x: torch.Tensor, decodes: int, execution: Execution) -> Stream:
    """Return a stream that begins with ``x`` ``[T, H]``, whose first ``decodes`` rows decode.

    Kernels update ``x`` in place.
    """
    if execution.target is None:
        return TorchStream(x)
    return KernelStream(x, decodes, execution.target)


def as_input(x: torch.Tensor, decodes: int, execution: Execution) -> Input:
    """Return rows ``x`` ``[T, K]``, whose first ``decodes`` decode, as layers take them."""
    return x if execution.target is None else Tokens(Rows(x), decodes, execution.target)


@dataclass(slots=True, eq=False)
class TorchStream:
    """A stream in plain torch, where everything happens at once.

    Attributes:
        x: ``[T, H]``.
    """

    x: torch.Tensor

    def read(self, norm: Norm | None) -> torch.Tensor:
        """Return the stream, normalised where there is a norm."""
        return self.x if norm is None else norm.forward(self.x)

    def add(self, update: torch.Tensor, norm: Norm | None, factor: float = 1.0) -> None:
        """Add ``update`` ``[T, H]``, normalised where there is a norm, times a factor."""
        if norm is not None:
            update = norm.forward(update)
        self.x = self.x + (update if factor == 1 else update * factor)

    def multiply(self, scalar: torch.Tensor) -> None:
        """Multiply the stream by ``scalar`` ``[1]``."""
        self.x = self.x * scalar


@dataclass(slots=True, eq=False)
class KernelStream:
    """A stream whose sum is formed where it is read: one launch adds, normalises and converts.

    Attributes:
        x: ``[T, H]``, updated in place.
        decodes: The first rows, which decode.
        target: What runs kernels.
        pending: What the next reader adds.
        eps: Of the norm of that.
        update: How it is added.
        reader: Who was asked last to do so.
    """

    x: torch.Tensor
    decodes: int
    target: Target
    pending: torch.Tensor | None = None
    eps: float = 0.0
    update: Update | None = None
    reader: Tokens | None = None

    def read(self, norm: Norm | None) -> Tokens:
        """Return the stream, normalised where there is a norm."""
        self._settle_reader()
        if self.pending is None or self.update is None:
            plain = Rows(self.x) if norm is None else Normed(self.x, norm.weight, norm.eps)
            return Tokens(plain, self.decodes, self.target)
        if norm is None or (norm.eps != self.eps and self.update.post_weight is not None):
            summed = Tokens(Summed(self.pending, self.update, self.eps), self.decodes, self.target)
            self.pending, self.reader = None, summed
            return summed if norm is None else self.read(norm)
        normed = Normed(self.pending, norm.weight, norm.eps, update=self.update)
        self.pending, self.reader = None, Tokens(normed, self.decodes, self.target)
        return self.reader

    def add(self, update: torch.Tensor, norm: Norm | None, factor: float = 1.0) -> None:
        """Add ``update`` ``[T, H]``, normalised where there is a norm, times a factor."""
        if self.pending is not None:
            self.read(None)
        self._settle_reader()
        self.pending, self.eps = update, 0.0 if norm is None else norm.eps
        self.update = Update(self.x, None if norm is None else norm.weight, factor)

    def multiply(self, scalar: torch.Tensor) -> None:
        """Multiply the stream by ``scalar`` ``[1]``."""
        if self.pending is None or self.update is None:
            self._settle_reader()
            self.x = self.x * scalar
        else:
            update = self.update
            self.update = Update(update.stream, update.post_weight, update.factor, scalar)

    def _settle_reader(self) -> None:
        """Make sure that the sum has been formed which was asked for last."""
        if self.reader is not None and isinstance(self.reader.source, Normed | Summed):
            source = self.reader.source
            if source.update is not None:
                _ = self.reader.rows
        self.reader = None
