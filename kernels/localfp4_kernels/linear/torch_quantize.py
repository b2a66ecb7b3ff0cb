"""What quantised inputs of matrix kernels are, in plain torch: codes and scales of float32 rows.

The forms in which kernels read them are sinks, in :mod:`~localfp4_kernels.linear.quantize_fp4` and
:mod:`~localfp4_kernels.linear.quantize_fp8`, which have the formulas in words.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch

from localfp4_kernels.formats.nvfp4 import E2M1_MAX, E4M3_MAX, encode_e2m1_torch

LEAST_SCALE = 2.0**-100
"""Of quantised values; its inverse, times the inverse of any E4M3, is finite."""

FOLDS: Mapping[str, float] = MappingProxyType({"e4m3": 0.125, "e8m0": 64.0})
"""By which codes times scales are multiplied before E4M3 rounds them, by the scales' format: what
``refold`` of :mod:`~localfp4_kernels.linear.w4a8` returns, where Triton takes no table.
"""


class Fp4Codes(NamedTuple):
    """Rows in 4 bits.

    Attributes:
        codes: uint8 ``[T, K / group, group]``, E2M1, one a byte.
        scale: Of each group, ``[T, K / group]``: E4M3, or int32 exponents of two.
        token_scale: float32 ``[T]``.
    """

    codes: torch.Tensor
    scale: torch.Tensor
    token_scale: torch.Tensor


def nvfp4_codes_torch(x: torch.Tensor, input_scale: torch.Tensor | None) -> Fp4Codes:
    """Quantise to E2M1 with an E4M3 scale per 16 elements.

    Args:
        x: float32 ``[T, K]``.
        input_scale: float32 ``[]``, of all tokens; ``None`` takes each token's own.
    """
    groups = x.unflatten(1, (-1, 16))
    amax = groups.abs().amax(-1)
    if input_scale is None:
        token_scale = amax.amax(1) / (E2M1_MAX * E4M3_MAX)
    else:
        token_scale = input_scale.expand(x.shape[0])
    token_scale = token_scale.clamp(min=LEAST_SCALE)
    ratio = amax / (E2M1_MAX * token_scale).unsqueeze(1)
    bits = ratio.clamp(max=E4M3_MAX).to(torch.float8_e4m3fn)
    scale = bits.float() * token_scale.unsqueeze(1)
    inverse = torch.where(scale == 0, 0, 1 / scale)
    return Fp4Codes(encode_e2m1_torch(groups * inverse.unsqueeze(-1)), bits, token_scale)


def mxfp4_codes_torch(x: torch.Tensor, input_scale: torch.Tensor | None) -> Fp4Codes:
    """Quantise to E2M1 with a power of two per 32 elements.

    Args:
        x: float32 ``[T, K]``.
        input_scale: float32 ``[]``, of all tokens; ``None`` is 1.
    """
    groups = x.unflatten(1, (-1, 32))
    # frexp's mantissa is in [0.5, 1), so its exponent is one more than floor(log2).
    amax = groups.abs().amax(-1)
    exponent = torch.where(amax == 0, -127, torch.frexp(amax).exponent - 3).clamp(min=-127)
    token_scale = x.new_ones(()) if input_scale is None else input_scale
    scaled = torch.ldexp(groups * (1 / token_scale), -exponent.unsqueeze(-1))
    return Fp4Codes(encode_e2m1_torch(scaled), exponent, token_scale.repeat(x.shape[0]))


def fp8_values_torch(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return E4M3 of float32 ``[..., K]`` and the scale of each last dimension."""
    scale = (x.abs().amax(-1) / E4M3_MAX).clamp(min=LEAST_SCALE)
    scaled = (x * (1 / scale).unsqueeze(-1)).clamp(-E4M3_MAX, E4M3_MAX)
    return scaled.to(torch.float8_e4m3fn), scale
