"""The norm behind a recurrence, under its gate: Gated DeltaNet's and Mamba-2's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.linear.source import Source, check_rows


@dataclass(frozen=True, slots=True)
class GroupNormed(Source):
    """Groups of a row normalised by their root mean square, and gated by ``silu(z)``.

    Attributes:
        x: ``[T, K]``.
        z: ``[T, K]``, the gate; rows may lie apart.
        weight: ``[K]``, or as wide as a group, for all groups.
        groups: Number of equal parts of a row, a power of two wide each.
        eps: Added to the mean square.
        gate_first: Whether the gate multiplies before the norm (Mamba-2) instead of after it
            (Gated DeltaNet).
    """

    x: torch.Tensor
    z: torch.Tensor
    weight: torch.Tensor
    groups: int
    eps: float
    gate_first: bool
    name: ClassVar[str] = "group_normed"
    per_token: ClassVar[tuple[str, ...]] = ("x", "z")

    @property
    def width(self) -> int:
        """Width K of a token."""
        return self.x.shape[1]

    @property
    def size(self) -> int:
        """Width of a group."""
        return self.width // self.groups

    @property
    def arguments(self) -> Mapping[str, torch.Tensor | float | None]:
        """Run-time arguments of the kernel."""
        return {
            "x_ptr": self.x,
            "gate_ptr": self.z,
            "weight_ptr": self.weight,
            "eps": float(self.eps),
        }

    @property
    def constants(self) -> Mapping[str, Any]:
        """Constants of the kernel that differ from their defaults."""
        return {
            "GATE": "first" if self.gate_first else "last",
            "HEAD_DIM": self.size,
            "GATE_TOKEN_STRIDE": self.z.stride(0),
            "GATE_HEAD_STRIDE": len(self.weight),
        }

    def check(self) -> None:
        """Check shapes and types.

        Raises:
            ValueError: One does not fit.
        """
        check_rows("x", self.x, ("T", "K"))
        check_rows("z", self.z, tuple(self.x.shape))
        if self.groups <= 0 or self.width % self.groups or self.size & (self.size - 1):
            raise ValueError(
                f"groups must be a power of two wide, not {self.groups} parts of {self.width}"
            )
        if self.weight.shape not in ((self.width,), (self.size,)):
            raise ValueError(
                f"weight must be [{self.width}] or [{self.size}], not {list(self.weight.shape)}"
            )
        check_tensor("weight", self.weight, tuple(self.weight.shape), FLOAT_TYPES, like=self.x)

    def compute_torch(self) -> torch.Tensor:
        """Return the gated norms in float32."""
        x, gate = self.x.float(), functional.silu(self.z.float())
        if self.gate_first:
            x = x * gate
        parts = torch.rms_norm(x.unflatten(1, (self.groups, -1)), (self.size,), None, self.eps)
        weight = self.weight.float().view(-1, self.size)
        x = (parts * weight).flatten(1)
        return x if self.gate_first else x * gate
