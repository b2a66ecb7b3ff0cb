"""Sources on the residual stream: its sum with what a block computed, and the norm of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.linear.source import Rows, Source, check_rows


@dataclass(frozen=True, slots=True)
class Update:
    """What turns the residual stream and a block's result ``x`` into the stream after the block.

    ``stream = (stream + post_norm(x) * factor) * scalar``, in float32, rounded once and written in
    place.

    Attributes:
        stream: ``[T, K]``.
        post_weight: ``[K]`` of the norm of ``x`` (Gemma's after attention and feed-forward);
            ``None`` where there is no norm.
        factor: Multiplies what is added (Granite).
        scalar: ``[1]``, multiplies the sum (Gemma 4).
    """

    stream: torch.Tensor
    post_weight: torch.Tensor | None = None
    factor: float = 1.0
    scalar: torch.Tensor | None = None

    def __getitem__(self, rows: slice) -> "Update":
        """Return the update of some tokens."""
        return Update(self.stream[rows], self.post_weight, self.factor, self.scalar)

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {
            "residual_ptr": self.stream,
            "post_weight_ptr": self.post_weight,
            "factor": self.factor,
            "scalar_ptr": self.scalar,
        }

    def check(self, x: torch.Tensor) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_tensor("stream", self.stream, x.shape, FLOAT_TYPES, like=x)
        if self.post_weight is not None:
            check_tensor("post_weight", self.post_weight, (x.shape[1],), FLOAT_TYPES, like=x)
        if self.scalar is not None:
            check_tensor("scalar", self.scalar, (1,), FLOAT_TYPES, like=x)


@dataclass(frozen=True, slots=True)
class Normed(Source):
    """The root-mean-square norm of ``x``, or of the residual stream after adding ``x`` to it.

    Computed in float32, ``x / sqrt(mean(x^2) + eps) * weight`` (Zhang & Sennrich 2019). The stream
    is rounded to its type before it is normalised, and updated in place.

    Attributes:
        x: ``[T, K]``.
        weight: ``[K]``; ``None`` multiplies by nothing.
        eps: Added to the mean square.
        plus_one: Whether to multiply by ``1 + weight`` (Gemma, Qwen3-Next).
        round_first: Whether ``x / rms(x)`` is rounded to the type of ``weight`` before the
            product, as Llama and Qwen3 do and Gemma and gpt-oss do not.
        update: How ``x`` enters the stream; ``None`` normalises ``x`` itself.
    """

    x: torch.Tensor
    weight: torch.Tensor | None
    eps: float
    plus_one: bool = False
    round_first: bool = False
    update: Update | None = None
    name: ClassVar[str] = "normed"
    per_token: ClassVar[tuple[str, ...]] = ("x", "update")

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        entering = {} if self.update is None else self.update.arguments
        return {"x_ptr": self.x, "weight_ptr": self.weight, "eps": self.eps, **entering}

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {"PLUS_ONE": self.plus_one, "ROUND_FIRST": self.round_first}

    def after(self) -> Source:
        """Return the norm of the stream as it then is."""
        if self.update is None:
            return self
        return Normed(self.update.stream, self.weight, self.eps, self.plus_one, self.round_first)

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "K"))
        if self.weight is not None:
            check_tensor("weight", self.weight, (self.width,), FLOAT_TYPES, like=self.x)
        if self.update is not None:
            self.update.check(self.x)

    def compute_torch(self) -> torch.Tensor:
        """Return the normalised tokens; updates the stream."""
        x = self.x.float()
        if self.update is not None:
            x = _updated_torch(x, self.update, self.eps, self.plus_one, self.round_first)
        return _norm_torch(x, self.weight, self.eps, self.plus_one, self.round_first)


@dataclass(frozen=True, slots=True)
class Summed(Source):
    """The residual stream after adding ``x`` to it, for what reads it without a norm.

    Attributes:
        x: ``[T, K]``.
        update: How it enters the stream.
        eps: Of the norm of ``x``, where it has one.
    """

    x: torch.Tensor
    update: Update
    eps: float = 0.0
    name: ClassVar[str] = "summed"
    per_token: ClassVar[tuple[str, ...]] = ("x", "update")

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x, "eps": self.eps, **self.update.arguments}

    def after(self) -> Source:
        """Return the stream as it then is."""
        return Rows(self.update.stream)

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "K"))
        self.update.check(self.x)

    def compute_torch(self) -> torch.Tensor:
        """Return the stream in float32, updated."""
        return _updated_torch(self.x.float(), self.update, self.eps, False, False)


def _updated_torch(
    x: torch.Tensor, update: Update, eps: float, plus_one: bool, round_first: bool
) -> torch.Tensor:
    if update.post_weight is not None:
        x = _norm_torch(x, update.post_weight, eps, plus_one, round_first)
    total = x * update.factor + update.stream.float()
    if update.scalar is not None:
        total = total * update.scalar.float()
    return update.stream.copy_(total).float()


def _norm_torch(
    x: torch.Tensor, weight: torch.Tensor | None, eps: float, plus_one: bool, round_first: bool
) -> torch.Tensor:
    x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + eps)
    if weight is None:
        return x
    if round_first:
        x = x.to(weight.dtype).float()
    return x * (weight.float() + plus_one)
