"""Layers whose weights stay as they are stored; their kernels need Triton."""

import math
from dataclasses import dataclass

import torch

from localfp4.models.execution import Execution
from localfp4_kernels.dispatch import Kind, Phase
from localfp4_kernels.linear.multiply import multiply
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.linear.weights import Fp4Weight
from localfp4_kernels.moe.moe import moe
from localfp4_kernels.moe.route import route
from localfp4_kernels.moe.routing import Routing
from localfp4_kernels.moe.stack import ExpertStack


@dataclass(frozen=True, slots=True)
class Fp4Linear:
    """``y = x W^T + b`` with the weight in 4 bits; kernels are chosen per phase.

    Attributes:
        weight: As the kernels read it.
        kind: How it was stored.
        activations: Bits per activation that the checkpoint was made for.
        input_scale: float32 ``[]``, the calibrated global scale of 4-bit activations, a
            multiplier; ``None`` scales each token by itself.
        bias: ``[N]`` or ``None``.
        execution: What decides which kernel runs.
    """

    weight: Fp4Weight
    kind: Kind
    activations: int
    input_scale: torch.Tensor | None
    bias: torch.Tensor | None
    execution: Execution

    def forward(self, x: torch.Tensor, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whose first ``decodes`` rows decode.

        The two phases run apart, so that an answer does not depend on whose prompt shares a step.
        """
        parts = [
            self._multiply(rows, phase)
            for rows, phase in ((x[:decodes], Phase.DECODE), (x[decodes:], Phase.PREFILL))
            if len(rows)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @property
    def nbytes(self) -> int:
        """Bytes of weight and bias."""
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def _multiply(self, x: torch.Tensor, phase: Phase) -> torch.Tensor:
        tokens, columns = x.shape
        choice = self.execution.choose(
            self.kind, phase, tokens=tokens, columns=columns, activations=self.activations
        )
        return multiply(
            Rows(x),
            self.weight,
            choice.kernel,
            target=self.execution.running,
            bias=self.bias,
            input_scale=self.input_scale,
            out_dtype=x.dtype,
        )


@dataclass(frozen=True, slots=True)
class KernelExperts:
    """SwiGLU experts chosen by softmax, then top k.

    4-bit activations are scaled token by token: the calibrated scales differ from expert to expert,
    and a token goes to several.

    Attributes:
        gate_up: ``[E, 2 I, H]``.
        down: ``[E, H, I]``, stored as ``gate_up`` is.
        intermediate_size: I.
        routing: How experts are chosen.
        kind: How they were stored.
        activations: Bits per activation that the checkpoint was made for.
        execution: What decides which kernel runs.
    """

    gate_up: ExpertStack
    down: ExpertStack
    intermediate_size: int
    routing: Routing
    kind: Kind
    activations: int
    execution: Execution

    def forward(self, x: torch.Tensor, logits: torch.Tensor, decodes: int) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]`` and router logits ``[T, E]``."""
        weights, experts = route(logits, self.routing, target=self.execution.running)
        if decodes in (0, len(x)):
            return self._run(x, weights, experts, Phase.DECODE if decodes else Phase.PREFILL)
        # Kernels are compiled for tensors that start at multiples of 16 bytes; the rows of a few
        # choices each do not, from the middle on.
        first = self._run(x[:decodes], weights[:decodes], experts[:decodes], Phase.DECODE)
        others = weights[decodes:].clone(), experts[decodes:].clone()
        return torch.cat((first, self._run(x[decodes:], *others, Phase.PREFILL)))

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.gate_up.nbytes + self.down.nbytes

    def _run(
        self, x: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor, phase: Phase
    ) -> torch.Tensor:
        choice = self.execution.choose(
            self.kind,
            phase,
            tokens=len(x),
            columns=math.gcd(x.shape[1], self.intermediate_size),
            activations=self.activations,
        )
        return moe(
            x,
            self.gate_up,
            self.down,
            weights,
            experts,
            choice.kernel,
            target=self.execution.running,
        )
