"""The feed-forward half of a layer: a dense network, a mixture of experts, or both."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.router import Router
from localfp4.models.spec import Activation
from localfp4.models.tokens import Input, Tokens, rows_of
from localfp4_kernels.linear.norm_source import Normed, Summed, Update
from localfp4_kernels.linear.source import activated
from localfp4_kernels.pointwise.activations import ACTIVATION_FUNCTIONS


class FeedForward(Protocol):
    """What computes on each token."""

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``, whose first ``decodes`` rows decode."""


class Experts(Protocol):
    """The experts of a mixture."""

    def prepare(self, x: Input, decodes: int) -> Any:
        """Bring rows into the experts' form as they are computed, or leave that to later."""

    def forward(
        self,
        x: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        decodes: int,
        added: torch.Tensor | None = None,
        form: Any = None,
    ) -> torch.Tensor:
        """Return the weighted sum of the chosen experts' outputs, ``[T, H]``.

        Args:
            x: ``[T, H]``, whose first ``decodes`` rows decode.
            weights: float32 ``[T, k]``.
            experts: int32 ``[T, k]``.
            decodes: Rows that decode.
            added: ``[T, H]``, added to the sum.
            form: What :meth:`prepare` returned for ``x``.
        """


@dataclass(frozen=True, slots=True)
class Mlp:
    """A dense network; where it is gated, gate and up projections are merged, the gate first."""

    up: Linear
    down: Linear
    activation: Activation

    def forward(
        self, x: Input, decodes: int = 0, token_gate: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``, whose first ``decodes`` rows decode.

        The sigmoid of ``token_gate`` ``[T, 1]`` multiplies the result; ``down`` must then have no
        bias.
        """
        hidden = self.up.forward(x, decodes)
        if isinstance(x, Tokens):
            return self.down.forward(
                x.then(activated(hidden, self.activation, token_gate)), decodes
            )
        hidden = ACTIVATION_FUNCTIONS[self.activation](hidden)
        if token_gate is not None:
            hidden = hidden * torch.sigmoid(token_gate)
        return self.down.forward(hidden, decodes)


@dataclass(frozen=True, slots=True)
class Moe:
    """A router over experts, and what tokens pass besides.

    Attributes:
        router: Chooses.
        experts: Compute.
        compress: Projection to the experts' width, where it is not the stream's.
        expand: Projection back.
        shared: What every token visits too.
        shared_gate: ``[H] -> [1]``; the sigmoid of it multiplies what ``shared`` gives.
    """

    router: Router
    experts: Experts
    compress: Linear | None = None
    expand: Linear | None = None
    shared: Mlp | None = None
    shared_gate: Linear | None = None

    def forward(
        self, x: Input, decodes: int = 0, router_input: Input | None = None
    ) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``, whose first ``decodes`` rows decode.

        The router looks at ``router_input`` where there is one.
        """
        # Several read the same rows: they are computed once, before the first does.
        form = None if self.compress is not None else self.experts.prepare(x, decodes)
        rows = rows_of(x)
        weights, chosen = self.router.forward(x if router_input is None else router_input, decodes)
        shared = None if self.shared is None else self._run_shared(self.shared, x, decodes)
        if self.compress is None or self.expand is None:
            return self.experts.forward(rows, weights, chosen, decodes, shared, form)
        inner = self.compress.forward(x, decodes)
        out = self.expand.forward(self.experts.forward(inner, weights, chosen, decodes), decodes)
        return out if shared is None else out + shared

    def _run_shared(self, shared: Mlp, x: Input, decodes: int) -> torch.Tensor:
        gate = None if self.shared_gate is None else self.shared_gate.forward(x, decodes)
        return shared.forward(x, decodes, gate)


@dataclass(frozen=True, slots=True)
class ParallelMoe:
    """A dense network and a mixture on the same residual stream, each between norms (Gemma 4)."""

    mlp_norm: Norm
    mlp: Mlp
    mlp_post_norm: Norm
    moe_norm: Norm
    moe: Moe
    moe_post_norm: Norm

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, H]`` for the residual stream ``x`` ``[T, H]``."""
        dense = self.mlp.forward(self.mlp_norm.of(x), decodes)
        sparse = self.moe.forward(self.moe_norm.of(x), decodes, router_input=x)
        if not isinstance(x, Tokens):
            return self.mlp_post_norm.forward(dense) + self.moe_post_norm.forward(sparse)
        first = x.then(Normed(dense, self.mlp_post_norm.weight, self.mlp_post_norm.eps)).rows
        norm = self.moe_post_norm
        return x.then(Summed(sparse, Update(first, norm.weight), norm.eps)).rows
