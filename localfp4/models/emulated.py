"""Layers that round their inputs as kernels for narrow tensor cores do, in plain torch, anywhere.

Products are those of the compute type: they show what narrow activations do to a model's answers,
not how fast they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from localfp4.checkpoint.quant_config import Activations
from localfp4.checkpoint.tensors import TransformTensors
from localfp4.models.spec import Activation
from localfp4.models.tokens import Input, rows_of
from localfp4.models.unit_weight import UnitWeight
from localfp4_kernels.formats.mxfp4 import BIAS, decode_e8m0_torch
from localfp4_kernels.formats.nvfp4 import e2m1_values
from localfp4_kernels.formats.torch_hadamard import hadamard_torch
from localfp4_kernels.linear.torch_quantize import (
    Fp4Codes,
    fp8_values_torch,
    mxfp4_codes_torch,
    nvfp4_codes_torch,
)
from localfp4_kernels.pointwise.activations import ACTIVATION_FUNCTIONS

Narrow = Activations | Literal["fp8-block"]
"""What activations become; ``fp8-block`` has a scale per 128 elements."""

_FP8_BLOCK = 128

_PIECE = 2**20
"""Elements that are rounded at once: float32 copies of a whole batch would take gigabytes."""


def round_activations(
    x: torch.Tensor, activations: Narrow, input_scale: torch.Tensor | None = None
) -> torch.Tensor:
    """Return activations as the kernels' quantisers leave them, codes and scales bit for bit.

    The product of codes and scales is computed in float32 and then rounded to the type of ``x``.

    Args:
        x: ``[..., K]`` of any floating type; K is a multiple of 16 for ``nvfp4``, 32 for ``mxfp4``.
        activations: ``none`` leaves them, ``fp8`` is E4M3 with a scale per token, ``fp8-block`` per
            128 elements of a token, ``nvfp4`` and ``mxfp4`` are E2M1 with scales per group.
        input_scale: float32 ``[]``, the calibrated global scale of 4-bit activations, a multiplier;
            ``None`` scales each token by itself.
    """
    if activations == "none" or not x.numel():
        return x
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty_like(rows)
    step = max(_PIECE // rows.shape[1], 1)
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        out[piece] = _rounded(rows[piece].float(), activations, input_scale)
    return out.view(x.shape)


@dataclass(frozen=True, slots=True)
class InputRounding:
    """What the inputs of a product become.

    Attributes:
        decode: For rows that decode.
        prefill: For rows of prompts.
        input_scale: float32 ``[]``, the calibrated global scale of 4-bit activations, a
            multiplier; ``None`` scales each token by itself.
    """

    decode: Narrow
    prefill: Narrow
    input_scale: torch.Tensor | None = None

    @property
    def is_none(self) -> bool:
        """Whether inputs stay as they are."""
        return self.decode == self.prefill == "none"

    def phases(self, x: torch.Tensor, decodes: int) -> Iterator[tuple[slice, Narrow]]:
        """Yield which rows of ``x``, whose first ``decodes`` decode, become what."""
        if self.decode == self.prefill or decodes == 0:
            yield slice(None), self.prefill
        elif decodes == len(x):
            yield slice(None), self.decode
        else:
            yield slice(decodes), self.decode
            yield slice(decodes, None), self.prefill


@dataclass(frozen=True, slots=True)
class EmulatedLinear:
    """``y = round(T(x)) W^T + b + (x a^T) b^T``.

    Attributes:
        weight: W.
        bias: ``[N]`` or ``None``.
        rounding: What inputs become after T.
        transform: T and the low-rank branch, on the device; neither is folded into W.
    """

    weight: UnitWeight
    bias: torch.Tensor | None
    rounding: InputRounding
    transform: TransformTensors

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whose first ``decodes`` rows decode."""
        rows, transform = rows_of(x), self.transform
        if transform.order is not None:
            rows = rows[:, transform.order]
        # Kernels keep float32 from a row's factors to its codes.
        wide = rows.float()
        if transform.factors is not None:
            wide = wide * transform.factors
        scaled = wide.to(rows.dtype)
        if transform.rotation is not None:
            # Kernels rotate by the exact matrix; what checkpoints hold is rounded.
            wide = hadamard_torch(wide, len(transform.rotation))
        y = torch.cat(
            [
                self.weight.product(
                    round_activations(wide[part], narrow, self.rounding.input_scale).to(rows.dtype),
                    is_fp8=narrow == "fp8",
                )
                for part, narrow in self.rounding.phases(rows, decodes)
            ]
        )
        if transform.low_rank is not None:
            a, b = transform.low_rank
            y = y + scaled @ a.T @ b.T
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, slots=True)
class EmulatedExperts:
    """Experts whose products round their inputs; each token is scaled by itself.

    Attributes:
        up: ``[E, 2 I, H]``, gate rows first; ``[E, I, H]`` without gate.
        down: ``[E, H, I]``.
        up_bias: ``[E, 2 I]`` or ``[E, I]``.
        down_bias: ``[E, H]``.
        activation: What follows the first product.
        rounding: What the inputs of both products become.
    """

    up: UnitWeight
    down: UnitWeight
    up_bias: torch.Tensor | None
    down_bias: torch.Tensor | None
    activation: Activation
    rounding: InputRounding

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
            form: Nothing.
        """
        phases = self.rounding.phases(x, decodes)
        parts = [self._run(x[rows], weights[rows], experts[rows], to) for rows, to in phases]
        out = torch.cat(parts)
        return out if added is None else out + added

    def prepare(self, x: Input, decodes: int) -> None:
        """Do nothing: plain rows are what is read here."""

    def _run(
        self, x: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor, narrow: Narrow
    ) -> torch.Tensor:
        out, x, is_fp8 = torch.zeros_like(x), round_activations(x, narrow), narrow == "fp8"
        for expert in experts.unique().tolist():
            token, choice = torch.where(experts == expert)
            hidden = self.up.expert(expert).product(x[token], is_fp8=is_fp8)
            if self.up_bias is not None:
                hidden = hidden + self.up_bias[expert]
            hidden = round_activations(ACTIVATION_FUNCTIONS[self.activation](hidden), narrow)
            y = self.down.expert(expert).product(hidden, is_fp8=is_fp8)
            if self.down_bias is not None:
                y = y + self.down_bias[expert]
            out.index_add_(0, token, (y * weights[token, choice].unsqueeze(1)).to(out.dtype))
        return out


def _rounded(
    x: torch.Tensor, activations: Narrow, input_scale: torch.Tensor | None
) -> torch.Tensor:
    """Round float32 rows ``[T, K]``."""
    match activations:
        case "nvfp4":
            found = nvfp4_codes_torch(x, input_scale)
            return _fp4_values(found, found.scale.float())
        case "mxfp4":
            found = mxfp4_codes_torch(x, input_scale)
            return _fp4_values(found, decode_e8m0_torch(found.scale + BIAS))
        case "fp8-block":
            width = x.shape[1]
            padded = torch.nn.functional.pad(x, (0, -width % _FP8_BLOCK))
            return _fp8_values(padded.unflatten(1, (-1, _FP8_BLOCK))).flatten(1)[:, :width]
    return _fp8_values(x)


def _fp4_values(found: Fp4Codes, scale: torch.Tensor) -> torch.Tensor:
    values = e2m1_values(scale.device)[found.codes.int()] * scale.unsqueeze(-1)
    return (values * found.token_scale.view(-1, 1, 1)).flatten(1)


def _fp8_values(x: torch.Tensor) -> torch.Tensor:
    values, scale = fp8_values_torch(x)
    return values.float() * scale.unsqueeze(-1)
