"""What an activation is made from: the operators that are fused into its producer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_multiple, check_tensor
from localfp4_kernels.pointwise.gated_mul import GATES, Gate
from localfp4_kernels.pointwise.gated_mul_tile import gated_mul


class Source(ABC):
    """Tokens that a producer computes.

    Attributes:
        name: What the kernel calls it.
        x: The tensor that says how many tokens there are, and where.
    """

    name: ClassVar[str]
    x: torch.Tensor

    @property
    @abstractmethod
    def width(self) -> int:
        """Width K of a token."""

    @property
    @abstractmethod
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {}

    @abstractmethod
    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """

    @abstractmethod
    def compute_torch(self) -> torch.Tensor:
        """Compute the tokens, float32 ``[T, K]``, in plain torch."""


@dataclass(frozen=True, slots=True)
class Rows(Source):
    """Rows as they are.

    Attributes:
        x: ``[T, K]``.
    """

    x: torch.Tensor
    name: ClassVar[str] = "rows"

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x}

    def check(self) -> None:
        """Check the shape and type of ``x``."""
        check_tensor("x", self.x, ("T", "K"), FLOAT_TYPES)

    def compute_torch(self) -> torch.Tensor:
        """Return ``x`` in float32."""
        return self.x.float()


@dataclass(frozen=True, slots=True)
class Normed(Source):
    """The root-mean-square norm of ``x``, or of the residual stream after adding ``x`` to it.

    Computed in float32, ``x / sqrt(mean(x^2) + eps) * weight`` (Zhang & Sennrich 2019). The stream
    is rounded to its type before it is normalised, and updated in place.

    Attributes:
        x: ``[T, K]``.
        weight: ``[K]``.
        eps: Added to the mean square.
        plus_one: Whether to multiply by ``1 + weight`` (Gemma, Qwen3-Next).
        round_first: Whether ``x / rms(x)`` is rounded to the type of ``weight`` before the
            product, as Llama and Qwen3 do and Gemma and gpt-oss do not.
        residual: ``[T, K]``, the residual stream.
        post_weight: ``[K]``; where given, ``x`` itself is normalised with this weight before it is
            added to the stream (Gemma's norm after attention and feed-forward).
    """

    x: torch.Tensor
    weight: torch.Tensor
    eps: float
    plus_one: bool = False
    round_first: bool = False
    residual: torch.Tensor | None = None
    post_weight: torch.Tensor | None = None
    name: ClassVar[str] = "normed"

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {
            "x_ptr": self.x,
            "residual_ptr": self.residual,
            "weight_ptr": self.weight,
            "post_weight_ptr": self.post_weight,
            "eps": self.eps,
        }

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {"PLUS_ONE": self.plus_one, "ROUND_FIRST": self.round_first}

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit, or ``post_weight`` is given without ``residual``.
        """
        check_tensor("x", self.x, ("T", "K"), FLOAT_TYPES)
        check_tensor("weight", self.weight, (self.width,), FLOAT_TYPES, like=self.x)
        if self.residual is not None:
            check_tensor("residual", self.residual, self.x.shape, FLOAT_TYPES, like=self.x)
        if self.post_weight is not None:
            check_tensor("post_weight", self.post_weight, (self.width,), FLOAT_TYPES, like=self.x)
            if self.residual is None:
                raise ValueError("post_weight needs residual: it is for what is added to a stream")

    def compute_torch(self) -> torch.Tensor:
        """Return the normalised tokens; updates ``residual``."""
        x = self.x.float()
        if self.residual is not None:
            if self.post_weight is not None:
                x = self._norm_torch(x, self.post_weight)
            x = self.residual.copy_(x + self.residual.float()).float()
        return self._norm_torch(x, self.weight)

    def _norm_torch(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + self.eps)
        if self.round_first:
            x = x.to(weight.dtype).float()
        return x * (weight.float() + self.plus_one)


@dataclass(frozen=True, slots=True)
class Gated(Source):
    """The gate of a feed-forward network on its merged projection.

    Attributes:
        x: ``[T, 2 K]``, the gate's half first.
        gate: Which.
    """

    x: torch.Tensor
    gate: Gate
    name: ClassVar[str] = "gated"

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1] // 2

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x}

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {"GATE": self.gate}

    def check(self) -> None:
        """Check shape, type and the name of the gate.

        Raises:
            ValueError: One does not fit.
        """
        check_tensor("x", self.x, ("T", "2 K"), FLOAT_TYPES)
        check_multiple("the width of x", self.x.shape[1], 2)
        if self.gate not in GATES:
            raise ValueError(f"gate must be one of {', '.join(GATES)}, not {self.gate!r}")

    def compute_torch(self) -> torch.Tensor:
        """Return the gated tokens."""
        return GATES[self.gate](self.x.float())


@triton.jit
def load_rows(x_ptr, token, K: tl.constexpr, BLOCK: tl.constexpr):
    """Return row ``token`` in float32, zeros from ``K`` on."""
    column = tl.arange(0, BLOCK)
    return tl.load(x_ptr + token * K + column, column < K, 0.0).to(tl.float32)


@dataclass(frozen=True, slots=True)
class SigmoidGated(Source):
    """The output of attention times a gate from its query projection (Qwen3-Next).

    Attributes:
        x: ``[T, K]``.
        gate: ``[T, H, D]`` with H D = K; tokens and heads may lie apart, as in the merged
            projection, where each head's gate follows its query.
    """

    x: torch.Tensor
    gate: torch.Tensor
    name: ClassVar[str] = "sigmoid_gated"

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x, "gate_ptr": self.gate}

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {
            "HEAD_DIM": self.gate.shape[2],
            "GATE_TOKEN_STRIDE": self.gate.stride(0),
            "GATE_HEAD_STRIDE": self.gate.stride(1),
        }

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_tensor("x", self.x, ("T", "K"), FLOAT_TYPES)
        tokens, width = self.x.shape
        check_tensor(
            "gate", self.gate, (tokens, "H", "D"), FLOAT_TYPES, like=self.x, contiguous=False
        )
        _, heads, dim = self.gate.shape
        if heads * dim != width:
            raise ValueError(f"gate has {heads} heads of {dim}, not {width} elements as x has")
        if self.gate.stride(2) != 1:
            raise ValueError(f"heads of gate must be contiguous, not {self.gate.stride(2)} apart")

    def compute_torch(self) -> torch.Tensor:
        """Return the gated tokens."""
        return self.x.float() * torch.sigmoid(self.gate.flatten(1).float())


@triton.jit
def load_source(
    x_ptr,
    residual_ptr,
    weight_ptr,
    post_weight_ptr,
    eps,
    gate_ptr,
    token,
    SOURCE: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    GATE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    GATE_TOKEN_STRIDE: tl.constexpr,
    GATE_HEAD_STRIDE: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return what a source computes for row ``token``, float32, zeros from ``K`` on."""
    if SOURCE == "normed":
        return _load_normed(
            x_ptr,
            residual_ptr,
            weight_ptr,
            post_weight_ptr,
            eps,
            token,
            PLUS_ONE,
            ROUND_FIRST,
            K,
            BLOCK,
        )
    if SOURCE == "gated":
        return _load_gated(x_ptr, token, GATE, K, BLOCK)
    x = load_rows(x_ptr, token, K, BLOCK)
    if SOURCE == "sigmoid_gated":
        column = tl.arange(0, BLOCK)
        place = column // HEAD_DIM * GATE_HEAD_STRIDE + column % HEAD_DIM
        gate = tl.load(gate_ptr + token * GATE_TOKEN_STRIDE + place, column < K, 0.0)
        x *= tl.sigmoid(gate.to(tl.float32))
    return x


@triton.jit
def _load_normed(
    x_ptr,
    residual_ptr,
    weight_ptr,
    post_weight_ptr,
    eps,
    token,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the norm of row ``token``, and update the residual stream."""
    x = load_rows(x_ptr, token, K, BLOCK)
    if post_weight_ptr is not None:
        x = _norm(x, post_weight_ptr, eps, PLUS_ONE, ROUND_FIRST, K, BLOCK)
    if residual_ptr is not None:
        column = tl.arange(0, BLOCK)
        stream = x + load_rows(residual_ptr, token, K, BLOCK)
        stream = stream.to(residual_ptr.dtype.element_ty)
        tl.store(residual_ptr + token * K + column, stream, column < K)
        x = stream.to(tl.float32)
    return _norm(x, weight_ptr, eps, PLUS_ONE, ROUND_FIRST, K, BLOCK)


@triton.jit
def _norm(
    x,
    weight_ptr,
    eps,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    weight = load_rows(weight_ptr, 0, K, BLOCK)
    if PLUS_ONE:
        weight += 1.0
    x *= tl.rsqrt(tl.sum(x * x) * (1.0 / K) + eps)
    if ROUND_FIRST:
        x = x.to(weight_ptr.dtype.element_ty).to(tl.float32)
    return x * weight


@triton.jit
def _load_gated(x_ptr, token, GATE: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr):
    """Return the gated product of the halves of row ``token`` of ``[T, 2 K]``."""
    gate = load_rows(x_ptr, 2 * token, K, BLOCK)
    up = load_rows(x_ptr, 2 * token + 1, K, BLOCK)
    return gated_mul(gate, up, GATE)
