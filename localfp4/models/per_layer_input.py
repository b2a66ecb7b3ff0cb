"""A second, narrow embedding that every layer receives a part of (Gemma 4 E2B and E4B)."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.tokens import Input, Tokens, rows_of
from localfp4_kernels.linear.head_gate import HeadGated
from localfp4_kernels.linear.norm_source import Summed, Update


@dataclass(frozen=True, slots=True)
class PerLayerEmbedding:
    """The table of all L layers, and a projection of the token's main embedding beside it.

    Attributes:
        table: ``[V, L d]``, in the compute type or a smaller one.
        projection: ``[H] -> [L d]``.
        norm: Of each layer's part of the projection, weight ``[d]``.
        size: d.
        half: float32 ``[1]``, the root of 1/2.
        in_main_memory: Whether a GPU leaves the table in the computer's memory, page-locked, and
            reads it there: it is more than half of Gemma 4 E4B with weights of 4 bits, and a token
            needs 21 KiB of it.
    """

    table: torch.Tensor
    projection: Linear
    norm: Norm
    size: int
    half: torch.Tensor
    in_main_memory: bool = False

    def forward(self, token_ids: torch.Tensor, x: Input, decodes: int) -> torch.Tensor:
        """Return each layer's embedding of the tokens, ``[T, L, d]``.

        Args:
            token_ids: int64 ``[T]``.
            x: The main embedding, scaled, ``[T, H]``.
            decodes: Rows that decode.
        """
        projected = self.projection.forward(x, decodes)
        if isinstance(x, Tokens):
            return self._join(token_ids, projected, rows_of(x).shape[1], x)
        rows = functional.embedding(token_ids, self.table)
        projected = projected * x.shape[1] ** -0.5
        parts: torch.Tensor = (rows.to(x.dtype) * self.size**0.5).unflatten(1, (-1, self.size))
        return (self.norm.forward(projected.view_as(parts)) + parts) * self.half.to(x.dtype)

    def _join(
        self, token_ids: torch.Tensor, projected: torch.Tensor, hidden: int, x: Tokens
    ) -> torch.Tensor:
        """Look parts up and add the norm of the projection, in one launch each."""
        # Triton takes a while to import, and only kernels need it.
        from localfp4_kernels.pointwise.embedding import embedding

        rows = embedding(
            token_ids, self.table, scale=self.size**0.5, dtype=projected.dtype, target=x.target
        )
        parts = rows.view(-1, self.size)
        # The norm of x / sqrt(H) is that of x with H times the epsilon.
        update = Update(parts, self.norm.weight, scalar=self.half)
        joined = Summed(projected.view_as(parts), update, self.norm.eps * hidden)
        return x.then(joined).rows.view(len(token_ids), -1, self.size)


@dataclass(frozen=True, slots=True)
class LayerInput:
    """How a layer takes its part in: it adds ``norm(W_p (gelu(W_g x) * part))`` to the stream x.

    Attributes:
        gate: ``W_g``, ``[H] -> [d]``.
        projection: ``W_p``, ``[d] -> [H]``.
        norm: Of what is added.
    """

    gate: Linear
    projection: Linear
    norm: Norm

    def forward(self, x: Input, part: torch.Tensor, decodes: int) -> torch.Tensor:
        """Return what is added, before its norm, for the stream ``x`` and a ``part`` ``[T, d]``."""
        gate = self.gate.forward(x, decodes)
        if isinstance(x, Tokens):
            gated = x.then(HeadGated(part, gate.unsqueeze(1), "gelu_tanh"))
            return self.projection.forward(gated, decodes)
        gate = functional.gelu(gate, approximate="tanh")
        return self.projection.forward(gate * part, decodes)
