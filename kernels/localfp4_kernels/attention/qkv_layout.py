"""What a merged projection holds, and what becomes of it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch


class Heads(NamedTuple):
    """The heads of T tokens, ready for attention.

    Attributes:
        q: ``[T, Hq, D]``, in the type of the projection.
        k: ``[T, Hkv, D]``, for prefill, in the type asked for.
        v: As ``k``.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies in a token's row of the merged projection.

    Attributes:
        gated: Whether a gate as wide as a head follows each head of queries (Qwen3-Next).
        keys_are_values: Whether there are no values: they are the keys, before norm and rotation
            (Gemma 4).
    """

    gated: bool = False
    keys_are_values: bool = False

    def query_heads(self, width: int, kv_heads: int, dim: int) -> int:
        """Return the number of query heads in a row.

        Raises:
            ValueError: No number fits the width.
        """
        each = dim * (2 if self.gated else 1)
        rest = width - kv_heads * dim * (1 if self.keys_are_values else 2)
        heads = rest // each
        if rest % each or heads < 1 or heads % kv_heads:
            query, keys = ("2 Hq" if self.gated else "Hq"), "" if self.keys_are_values else "2 "
            raise ValueError(
                f"qkv must be ({query} + {keys}Hkv) D wide, Hq a multiple of {kv_heads} and D "
                f"{dim}, not {width}"
            )
        return heads


PLAIN = Layout()
"""Queries, keys and values, one after the other."""
