"""The heads of a Gated DeltaNet layer and where they lie in a row of ``[q | k | v]``."""

from dataclasses import dataclass

import torch

L2_EPS = 1e-6
"""Added to the squared length of queries and keys before the root."""


@dataclass(frozen=True, slots=True)
class DeltaHeads:
    """Numbers and widths of heads; value head ``h`` is served by key head ``h // repeats``.

    Attributes:
        k_heads: Query heads, and as many key heads.
        v_heads: Value heads, a multiple.
        k_dim: Width of a query or key head; a power of two, 16 to 256.
        v_dim: Width of a value head; likewise.
    """

    k_heads: int
    v_heads: int
    k_dim: int
    v_dim: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: One of them is not allowed.
        """
        if self.k_heads <= 0 or self.v_heads <= 0 or self.v_heads % self.k_heads:
            raise ValueError(
                f"v_heads must be a positive multiple of k_heads, "
                f"not {self.v_heads} of {self.k_heads}"
            )
        for name, size in (("k_dim", self.k_dim), ("v_dim", self.v_dim)):
            if size not in (16, 32, 64, 128, 256):
                raise ValueError(f"{name} must be a power of two from 16 to 256, not {size}")

    @property
    def repeats(self) -> int:
        """Value heads per key head."""
        return self.v_heads // self.k_heads

    @property
    def channels(self) -> int:
        """Width of a row of ``[q | k | v]``."""
        return 2 * self.k_heads * self.k_dim + self.v_heads * self.v_dim

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Shape of one sequence's recurrent state."""
        return self.v_heads, self.k_dim, self.v_dim

    @property
    def constants(self) -> dict[str, float]:
        """The sizes as arguments of kernels, and what lengths are computed with."""
        return {
            "K_HEADS": self.k_heads,
            "V_HEADS": self.v_heads,
            "K_DIM": self.k_dim,
            "V_DIM": self.v_dim,
            "L2_EPS": L2_EPS,
        }

    def unit_split(self, qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries, keys and values per value head, in plain torch.

        Queries and keys ``[T, v_heads, k_dim]`` have unit length, queries times ``k_dim ** -0.5``;
        values are ``[T, v_heads, v_dim]``.
        """
        width = self.k_heads * self.k_dim
        q, k, v = qkv.split((width, width, self.v_heads * self.v_dim), dim=-1)
        q, k = (self._unit(x.unflatten(-1, (self.k_heads, self.k_dim))) for x in (q, k))
        return q * self.k_dim**-0.5, k, v.unflatten(-1, (self.v_heads, self.v_dim))

    def _unit(self, x: torch.Tensor) -> torch.Tensor:
        x = x * torch.rsqrt((x * x).sum(-1, keepdim=True) + L2_EPS)
        return x.repeat_interleave(self.repeats, dim=-2)
