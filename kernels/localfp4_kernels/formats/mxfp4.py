"""The MXFP4 number format: round-to-nearest quantisation and expansion in torch.

A weight ``[N, K]`` is stored as E2M1 codes (two a byte, even element in the low nibble) and an E8M0
scale, a power of two with bias 127, per 32 elements along K:
``W[n, k] = E2M1[code] * 2 ** (scale[n, k // 32] - 127)``.

Source: OCP Microscaling Formats v1.0, sections 5.4.1 and 6.3; the exponent of a group is rounded as
compressed-tensors does.
"""

from dataclasses import dataclass

import torch

from localfp4_kernels.formats.nvfp4 import encode_e2m1_torch, pack_e2m1_torch, unpack_e2m1_torch

GROUP_SIZE = 32
BIAS = 127
NAN = 0xFF
"""The one E8M0 code that is not a power of two."""


@dataclass(frozen=True, slots=True)
class Mxfp4Weight:
    """An MXFP4 matrix, or a stack of them, as it lies on disk.

    Attributes:
        packed: uint8 ``[..., N, K/2]``; byte j holds element 2j in its low nibble, 2j+1 in its
            high.
        scale: uint8 ``[..., N, K/32]``, bits of E8M0.
    """

    packed: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Rows N and columns K of one matrix."""
        return self.packed.shape[-2], 2 * self.packed.shape[-1]


def decode_e8m0_torch(bits: torch.Tensor) -> torch.Tensor:
    """Return the powers of two of E8M0 codes, float32; 0xFF gives NaN."""
    # Code 0 is 2^-127, a subnormal of float32; the others are its exponent field.
    exponent = bits.to(torch.int32)
    field = torch.where(exponent == 0, 1 << 22, exponent << 23).view(torch.float32)
    return torch.where(exponent == NAN, torch.nan, field)


def quantize_mxfp4_torch(weight: torch.Tensor) -> Mxfp4Weight:
    """Quantise a matrix to MXFP4 by round-to-nearest.

    A group's amax gets the largest exponent of E2M1, or the next where its mantissa would round up
    beyond 6: ``2 ** (floor(log2 amax) - 2)``, from mantissa 1.75 on twice that.

    Args:
        weight: ``[N, K]`` of any floating type, K a multiple of 32.

    Raises:
        ValueError: K is not a multiple of 32, or the weight is not finite.
    """
    rows, columns = weight.shape
    if columns % GROUP_SIZE:
        raise ValueError(f"MXFP4 needs columns in multiples of {GROUP_SIZE}, not {columns}")
    groups = weight.float().view(rows, columns // GROUP_SIZE, GROUP_SIZE)
    amax = groups.abs().amax(-1)
    if not amax.isfinite().all():
        raise ValueError("the weight holds values that are not finite")
    # Adding a quarter to the mantissa carries into the exponent from 1.75 on.
    exponent = (amax.view(torch.int32) + (1 << 21)) >> 23
    scale = (exponent - 2).clamp(0, 2 * BIAS).to(torch.uint8)
    inverse = decode_e8m0_torch(2 * BIAS - scale)
    codes = encode_e2m1_torch(groups * inverse.unsqueeze(-1))
    return Mxfp4Weight(pack_e2m1_torch(codes.view(rows, columns)), scale)


def dequantize_mxfp4_torch(weight: Mxfp4Weight, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Expand an MXFP4 matrix or stack to ``[..., N, K]`` of ``dtype``; exact in float32."""
    values = unpack_e2m1_torch(weight.packed, torch.float32)
    groups = values.unflatten(-1, (-1, GROUP_SIZE))
    groups *= decode_e8m0_torch(weight.scale).unsqueeze(-1)
    return values.to(dtype)
