"""Sources that multiply what heads compute by a gate of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch.nn import functional

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.linear.source import Source, check_rows

GateFunction = Literal["sigmoid", "softplus", "gelu_tanh", "identity"]
"""What a gate goes through before it multiplies."""


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


_FUNCTIONS: Mapping[GateFunction, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "sigmoid": torch.sigmoid,
        "softplus": functional.softplus,
        "gelu_tanh": _gelu_tanh,
        "identity": _identity,
    }
)


@dataclass(frozen=True, slots=True)
class HeadGated(Source):
    """``x * f(gate)``: the output of attention under a gate, or any product of two rows.

    Attributes:
        x: ``[T, K]``.
        gate: ``[T, H, D]`` with H D = K, or ``[T, H, 1]``, one number for a head; tokens and heads
            may lie apart, as in a merged projection where each head's gate follows its query.
        function: f.
    """

    x: torch.Tensor
    gate: torch.Tensor
    function: GateFunction = "sigmoid"
    name: ClassVar[str] = "head_gated"
    per_token: ClassVar[tuple[str, ...]] = ("x", "gate")

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
            "GATE": self.function,
            "HEAD_DIM": self.width // self.gate.shape[1],
            "GATE_TOKEN_STRIDE": self.gate.stride(0),
            "GATE_HEAD_STRIDE": self.gate.stride(1),
            "GATE_STRIDE": 1 if self.gate.shape[2] > 1 else 0,
        }

    def check(self) -> None:
        """Check shapes, types and the name of the function.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "K"))
        tokens, width = self.x.shape
        check_tensor(
            "gate", self.gate, (tokens, "H", "D"), FLOAT_TYPES, like=self.x, contiguous=False
        )
        _, heads, dim = self.gate.shape
        if width % heads or dim not in (1, width // heads):
            raise ValueError(f"gate has {heads} heads of {dim}, not {width} elements as x has")
        if dim > 1 and self.gate.stride(2) != 1:
            raise ValueError(f"heads of gate must be contiguous, not {self.gate.stride(2)} apart")
        if self.function not in _FUNCTIONS:
            names = ", ".join(_FUNCTIONS)
            raise ValueError(f"function must be one of {names}, not {self.function!r}")

    def compute_torch(self) -> torch.Tensor:
        """Return the gated tokens."""
        gates = _FUNCTIONS[self.function](self.gate.float())
        heads = self.x.float().unflatten(1, (self.gate.shape[1], -1))
        product: torch.Tensor = heads * gates
        return product.flatten(1)
