"""8-bit weights as 16-bit numbers: E4M3 fits float16 and bfloat16 exactly."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_multiple, check_tensor
from localfp4_kernels.formats.e4m3 import decode_e4m3
from localfp4_kernels.linear.weights import Fp8Weight
from localfp4_kernels.target import Target

BLOCK = 128
"""Rows and columns that share a scale."""


@triton.jit
def decode_weights(bits, DTYPE: tl.constexpr, ROUTE: tl.constexpr):
    """Return the values of E4M3 bits in a type that holds them exactly.

    ``cvt`` has the hardware convert, ``shift`` moves the fields of four bytes at a time with
    inline PTX, for Ampere, and ``bits`` does the same in integer arithmetic.
    """
    if ROUTE == "cvt":
        values = decode_e4m3(bits, True).to(DTYPE)
    elif ROUTE == "bits":
        values = decode_e4m3(bits, False).to(DTYPE)
    elif tl.bfloat16 == DTYPE:
        # The fields land in bfloat16's at a bias 120 too small; 0x7B80 is 2^120, 0x8000 is -0.
        values = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 s, t, u, k, z;
            mov.b32 k, 0x7B807B80;
            mov.b32 z, 0x80008000;
            prmt.b32 s, $2, 0, 0x1404;
            and.b32 t, s, 0x7F007F00;
            shr.u32 t, t, 4;
            lop3.b32 u, s, 0x80008000, t, 0xEA;
            fma.rn.bf16x2 $0, u, k, z;
            prmt.b32 s, $2, 0, 0x3424;
            and.b32 t, s, 0x7F007F00;
            shr.u32 t, t, 4;
            lop3.b32 u, s, 0x80008000, t, 0xEA;
            fma.rn.bf16x2 $1, u, k, z;
            }
            """,
            "=&r,=&r,r",
            [bits],
            dtype=tl.bfloat16,
            is_pure=True,
            pack=4,
        )
    else:
        # In float16's at a bias 8 too small; 0x5C00 is 256.
        halves = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 s, t, u, k;
            mov.b32 k, 0x5C005C00;
            prmt.b32 s, $2, 0, 0x1404;
            and.b32 t, s, 0x7F007F00;
            shr.u32 t, t, 1;
            lop3.b32 u, s, 0x80008000, t, 0xEA;
            mul.rn.f16x2 $0, u, k;
            prmt.b32 s, $2, 0, 0x3424;
            and.b32 t, s, 0x7F007F00;
            shr.u32 t, t, 1;
            lop3.b32 u, s, 0x80008000, t, 0xEA;
            mul.rn.f16x2 $1, u, k;
            }
            """,
            "=&r,=&r,r",
            [bits],
            dtype=tl.float16,
            is_pure=True,
            pack=4,
        )
        values = halves.to(DTYPE)
    return values


def check_fp8_weight(weight: Fp8Weight) -> tuple[int, int]:
    """Check one matrix and return its rows and columns.

    Raises:
        ValueError: A size, type or device does not fit.
    """
    check_tensor("weight.data", weight.data, ["N", "K"], torch.uint8)
    rows, columns = weight.shape
    check_multiple("the width K of the weight", columns, 16)
    scales = [triton.cdiv(rows, BLOCK), triton.cdiv(columns, BLOCK)] if weight.blocks else [rows]
    check_tensor("weight.scale", weight.scale, scales, torch.float32, like=weight.data)
    return rows, columns


def weight_route(target: Target) -> str:
    """Return how :func:`decode_weights` decodes on a target."""
    if target.interpreted:
        return "bits"
    return "cvt" if target.has_fp8 else "shift"


def check_rows(x: torch.Tensor, weight: Fp8Weight) -> int:
    """Check rows against a weight and return their number.

    Raises:
        ValueError: A size, type or device does not fit.
    """
    check_tensor("x", x, ["T", weight.shape[1]], FLOAT_TYPES, like=weight.data)
    return x.shape[0]
