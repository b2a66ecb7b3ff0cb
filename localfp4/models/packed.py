"""Layers whose weights stay as they are stored; their kernels need Triton."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from localfp4.models.execution import Execution
from localfp4.models.host_linear import brought_to
from localfp4.models.spec import Activation
from localfp4.models.tokens import Input, Tokens, rows_of
from localfp4_kernels.dispatch import Kernel, Kind, Phase
from localfp4_kernels.linear.arrange import ToRows
from localfp4_kernels.linear.multiply import multiply
from localfp4_kernels.linear.source import Rows, Source
from localfp4_kernels.linear.weights import Fp4Weight, Fp8Weight, Int4Weight, LowRank
from localfp4_kernels.moe.moe import moe, moe_sink
from localfp4_kernels.moe.tiered import AnyStack


@dataclass(frozen=True, slots=True)
class InputTransform:
    """What an input goes through before it meets a stored weight, in this order.

    Attributes:
        order: int64 ``[K]``; the order in which features are taken.
        factors: ``[K]``; features are multiplied by them.
        hadamard: Neighbours that are rotated together.
        low_rank: Adds a product of its own.
    """

    order: torch.Tensor | None = None
    factors: torch.Tensor | None = None
    hadamard: int | None = None
    low_rank: LowRank | None = None


@dataclass(frozen=True, slots=True)
class KernelLinear:
    """``y = T(x) W^T + b`` with the weight as it is stored; kernels are chosen per phase.

    Attributes:
        weight: As the kernels read it.
        kind: How it was stored.
        activations: Bits per activation that the checkpoint was made for.
        input_scale: float32 ``[]``, the calibrated global scale of 4-bit activations, a
            multiplier; ``None`` scales each token by itself.
        transform: T.
        bias: ``[N]`` or ``None``.
        execution: What decides which kernel runs.
        in_main_memory: Whether the weight lies beside the device, which reads it over the bus.
    """

    weight: Fp4Weight | Fp8Weight | Int4Weight
    kind: Kind
    activations: int
    input_scale: torch.Tensor | None
    transform: InputTransform
    bias: torch.Tensor | None
    execution: Execution
    in_main_memory: bool = False

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whose first ``decodes`` rows decode.

        The two phases run apart, so that an answer does not depend on whose prompt shares a step.
        """
        if self.transform.order is not None:
            x = rows_of(x)[:, self.transform.order]
        if not isinstance(x, Tokens):
            x = Tokens(Rows(x), decodes, self.execution.running)
        parts = [self._multiply(source, phase) for phase, _, source in x.phases()]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _multiply(self, source: Source, phase: Phase) -> torch.Tensor:
        tokens, columns = len(source.x), source.width
        choice = self.execution.choose(
            self.kind, phase, tokens=tokens, columns=columns, activations=self.activations
        )
        return multiply(
            source,
            self._weight_for(choice.kernel, source.x),
            choice.kernel,
            target=self.execution.running,
            bias=self.bias,
            input_scale=self.input_scale,
            channel_scale=self.transform.factors,
            hadamard=self.transform.hadamard,
            low_rank=self.transform.low_rank,
            out_dtype=source.x.dtype,
        )

    def _weight_for(self, kernel: Kernel, x: torch.Tensor) -> Fp4Weight | Fp8Weight | Int4Weight:
        """Return the weight where ``x`` is, unless the product of a single row reads it once."""
        is_read_once = len(x) == 1 and kernel in (Kernel.GEMV, Kernel.FP8_GEMV)
        if not self.in_main_memory or is_read_once:
            return self.weight
        return brought_to(x.device, self.weight)


@dataclass(frozen=True, slots=True)
class KernelExperts:
    """Experts of a mixture; kernels are chosen per phase.

    4-bit activations are scaled token by token: the calibrated scales differ from expert to expert,
    and a token goes to several.

    Attributes:
        up: ``[E, 2 I, H]``, gate rows first; ``[E, I, H]`` without gate. It may be in two tiers.
        down: ``[E, H, I]``, stored as ``up`` is.
        up_bias: ``[E, 2 I]`` or ``[E, I]``.
        down_bias: ``[E, H]``.
        activation: What follows the first product.
        intermediate_size: I.
        kind: How they were stored.
        activations: Bits per activation that the checkpoint was made for.
        execution: What decides which kernel runs.
    """

    up: AnyStack
    down: AnyStack
    up_bias: torch.Tensor | None
    down_bias: torch.Tensor | None
    activation: Activation
    intermediate_size: int
    kind: Kind
    activations: int
    execution: Execution

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
            form: What :meth:`prepare` returned.
        """
        if decodes in (0, len(x)):
            phase = Phase.DECODE if decodes else Phase.PREFILL
            return self._run(x, weights, experts, added, phase, form)
        # Kernels are compiled for tensors that start at multiples of 16 bytes; the rows of a few
        # choices each do not, from the middle on.
        before, after = (None, None) if added is None else (added[:decodes], added[decodes:])
        ours = weights[:decodes], experts[:decodes]
        others = weights[decodes:].clone(), experts[decodes:].clone()
        first = self._run(x[:decodes], *ours, before, Phase.DECODE)
        return torch.cat((first, self._run(x[decodes:], *others, after, Phase.PREFILL)))

    def _run(
        self,
        x: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        added: torch.Tensor | None,
        phase: Phase,
        form: Any = None,
    ) -> torch.Tensor:
        return moe(
            x,
            self.up,
            self.down,
            weights,
            experts,
            self._kernel(phase, *x.shape),
            activation=self.activation,
            gate_up_bias=self.up_bias,
            down_bias=self.down_bias,
            added=added,
            form=form,
            target=self.execution.running,
        )

    def prepare(self, x: Input, decodes: int) -> Any:
        """Bring rows into the experts' form as they are computed, or leave that to later."""
        if not isinstance(x, Tokens) or decodes not in (0, len(x.source.x)):
            return None
        tokens, dtype = len(x.source.x), x.source.x.dtype
        kernel = self._kernel(Phase.DECODE if decodes else Phase.PREFILL, tokens, x.source.width)
        sink = moe_sink(self.up, kernel, tokens, dtype, target=x.target)
        return None if isinstance(sink, ToRows) else x.rows_and(sink)

    def _kernel(self, phase: Phase, tokens: int, width: int) -> Kernel:
        columns = math.gcd(width, self.intermediate_size)
        choice = self.execution.choose(
            self.kind, phase, tokens=tokens, columns=columns, activations=self.activations
        )
        return choice.kernel
