"""What an activation is made from: the operators that are fused into its producer.

Here are rows and what stands between the products of a feed-forward network; norms are in
:mod:`~localfp4_kernels.linear.norm_source`, gates of heads in
:mod:`~localfp4_kernels.linear.head_gate`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_multiple, check_tensor
from localfp4_kernels.pointwise.activations import ActivationFunction, relu2_torch
from localfp4_kernels.pointwise.gated_mul import GATES, Gate


def _aligned(part: Any) -> Any:
    """Return rows of a tensor where kernels expect them to begin: at a multiple of 16 bytes.

    Only fields of a few bytes a token ever begin elsewhere. Triton would compile anew for them.
    """
    if isinstance(part, torch.Tensor) and part.storage_offset() * part.element_size() % 16:
        return part.clone()
    return part


class Source(ABC):
    """Tokens that a producer computes.

    Attributes:
        name: What the kernel calls it.
        per_token: Names of the fields that have a row for each token.
        x: The tensor that says how many tokens there are, and where. Its rows may lie apart.
    """

    name: ClassVar[str]
    per_token: ClassVar[tuple[str, ...]] = ("x",)
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

    def part(self, rows: slice) -> Self:
        """Return what computes some of the tokens."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.per_token}
        kept = {
            name: None if field is None else _aligned(field[rows]) for name, field in fields.items()
        }
        # Every source is a dataclass, which the type of this base cannot say.
        return replace(self, **kept)  # type: ignore[type-var]

    def after(self) -> "Source":
        """Return what computes the same tokens once this has been computed.

        That is something else where computing them changes what they are computed from.
        """
        return self

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
        check_rows("x", self.x, ("T", "K"))

    def compute_torch(self) -> torch.Tensor:
        """Return ``x`` in float32."""
        return self.x.float()


@dataclass(frozen=True, slots=True)
class Gated(Source):
    """The gate of a feed-forward network on its merged projection.

    Attributes:
        x: ``[T, 2 K]``, the gate's half first.
        gate: Which.
        token_gate: ``[T, 1]``; the sigmoid of it multiplies a token (Qwen's shared expert).
    """

    x: torch.Tensor
    gate: Gate
    token_gate: torch.Tensor | None = None
    name: ClassVar[str] = "gated"
    per_token: ClassVar[tuple[str, ...]] = ("x", "token_gate")

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1] // 2

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x, "gate_ptr": self.token_gate}

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {"GATE": self.gate}

    def check(self) -> None:
        """Check shape, type and the name of the gate.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "2 K"))
        check_multiple("the width of x", self.x.shape[1], 2)
        if self.gate not in GATES:
            raise ValueError(f"gate must be one of {', '.join(GATES)}, not {self.gate!r}")
        _check_token_gate(self.token_gate, self.x)

    def compute_torch(self) -> torch.Tensor:
        """Return the gated tokens."""
        return _gate_tokens_torch(GATES[self.gate](self.x.float()), self.token_gate)


@dataclass(frozen=True, slots=True)
class Relu2(Source):
    """The squared positive part of ``x``, ``relu(x)^2``: an ungated network's activation.

    Attributes:
        x: ``[T, K]``.
        token_gate: ``[T, 1]``; the sigmoid of it multiplies a token.
    """

    x: torch.Tensor
    token_gate: torch.Tensor | None = None
    name: ClassVar[str] = "relu2"
    per_token: ClassVar[tuple[str, ...]] = ("x", "token_gate")

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {"x_ptr": self.x, "gate_ptr": self.token_gate}

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "K"))
        _check_token_gate(self.token_gate, self.x)

    def compute_torch(self) -> torch.Tensor:
        """Return the squares in float32."""
        return _gate_tokens_torch(relu2_torch(self.x.float()), self.token_gate)


def activated(
    x: torch.Tensor, activation: ActivationFunction, token_gate: torch.Tensor | None = None
) -> Source:
    """Return what stands between the products of a feed-forward network, as a source.

    Args:
        x: The first product: ``[T, 2 K]`` under a gate, else ``[T, K]``.
        activation: Which.
        token_gate: ``[T, 1]``; the sigmoid of it multiplies a token.
    """
    return Relu2(x, token_gate) if activation == "relu2" else Gated(x, activation, token_gate)


def check_rows(name: str, x: torch.Tensor, shape: Sequence[int | str]) -> None:
    """Check a matrix of floats whose rows may lie apart.

    Raises:
        ValueError: It is something else.
    """
    check_tensor(name, x, shape, FLOAT_TYPES, contiguous=False)
    if x.stride(1) != 1 and x.shape[1] > 1:
        raise ValueError(f"{name} must have contiguous rows; its strides are {list(x.stride())}")


def _check_token_gate(gate: torch.Tensor | None, x: torch.Tensor) -> None:
    if gate is not None:
        check_tensor("token_gate", gate, (x.shape[0], 1), FLOAT_TYPES, like=x)


def _gate_tokens_torch(x: torch.Tensor, gate: torch.Tensor | None) -> torch.Tensor:
    return x if gate is None else x * torch.sigmoid(gate.float())
