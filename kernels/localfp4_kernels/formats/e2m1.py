"""E2M1 on the device: pairs of numbers become bytes of two codes.

Format: OCP Microscaling Formats v1.0, E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
"""

import triton
import triton.language as tl


@triton.jit
def encode_e2m1(even, odd, HARDWARE: tl.constexpr):
    """Round float32 pairs to E2M1, ties to the even code, saturating at 6.

    Returns:
        uint8 of that shape, ``even`` in the low nibble. Negative zeros, and what rounds to them,
        give code 8.
    """
    if HARDWARE:
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b8 a, b, c, d;
            cvt.rn.satfinite.e2m1x2.f32 a, $5, $1;
            cvt.rn.satfinite.e2m1x2.f32 b, $6, $2;
            cvt.rn.satfinite.e2m1x2.f32 c, $7, $3;
            cvt.rn.satfinite.e2m1x2.f32 d, $8, $4;
            mov.b32 $0, {a, b, c, d};
            }
            """,
            "=r,f,f,f,f,f,f,f,f",
            [even, odd],
            dtype=tl.uint8,
            is_pure=True,
            pack=4,
        )
    return _encode(even) | (_encode(odd) << 4)


@triton.jit
def _encode(x):
    raw = x.to(tl.uint32, bitcast=True)
    clamped = tl.minimum(tl.abs(x), 6.0)
    magnitude = clamped.to(tl.uint32, bitcast=True)
    normal = ((magnitude + 0x1FFFFF + ((magnitude >> 22) & 1)) >> 22) - (126 << 1)
    # One unit in the last place of 2^22 is 0.5, the step of E2M1 below 1.
    shifted = clamped + 4194304.0
    subnormal = shifted.to(tl.uint32, bitcast=True) - 0x4A800000
    code = tl.where(clamped < 1.0, subnormal, normal)
    return (code | ((raw >> 28) & 8)).to(tl.uint8)
