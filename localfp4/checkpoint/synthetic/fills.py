"""What random tensors hold; torch-free.

Every element is random bits of which a mask keeps some, plus a base that the mask leaves clear:
this makes codes, scales and floats alike, with no detour over another type. The bases are such that
weights have a root mean square of about 0.02, with which trained models start, whatever they are
stored as.
"""

from dataclasses import dataclass

from localfp4.checkpoint.tensor_info import TensorInfo


@dataclass(frozen=True, slots=True)
class Bits:
    """Elements are ``random & mask | base``, as unsigned numbers of the element's width."""

    mask: int
    base: int


@dataclass(frozen=True, slots=True)
class Exactly:
    """Every element is this number."""

    value: float


Fill = Bits | Exactly

CODES = Bits(0xFF, 0x00)
"""E2M1 codes, two to a byte, all equally likely: a root mean square of sqrt(68.5 / 8) = 2.93."""

E4M3_SCALES = Bits(0x0F, 0x30)
"""0.5 to 2 in E4M3: a root mean square of 1.16."""

E8M0_SCALES = Bits(0x01, 0x76)
"""2^-9 or 2^-8, so that codes times scales have a root mean square of 0.009."""

E4M3_WEIGHTS = Bits(0x8F, 0x30)
"""0.5 to 2 of either sign in E4M3: a root mean square of 1.16."""

BF16_WEIGHTS = Bits(0x80FF, 0x3C00)
"""2^-7 to 2^-5 of either sign in bfloat16: a root mean square of 0.019."""

BF16_ONES = Bits(0x0003, 0x3F80)
"""1 to 1.02 in bfloat16."""

NVFP4_GLOBAL = Exactly(0.02 / (2.93 * 1.16))
"""Brings E2M1 codes times E4M3 scales to a root mean square of 0.02."""

FP8_SCALE = Exactly(0.02 / 1.16)
"""Brings E4M3 weights to a root mean square of 0.02."""

LARGEST_INPUT = 6.0
"""Activations after a norm rarely pass it; what exporters calibrate input scales by."""


@dataclass(frozen=True, slots=True)
class SyntheticTensor(TensorInfo):
    """The header of a tensor that no file holds; its values depend on ``start`` alone.

    Attributes:
        fill: What it holds.
    """

    fill: Fill
