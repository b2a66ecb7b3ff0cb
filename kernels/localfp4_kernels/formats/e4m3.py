"""E4M3 on the device: the hardware's conversions, or the same in integer arithmetic.

8-bit floats travel as uint8: ``fp8e4nv`` cannot be named in a kernel for Ampere, and Triton's
interpreter rounds it wrongly (3.7.1: no saturation, subnormals off).

Format: OCP 8-bit Floating Point Specification, E4M3FN: bias 7, largest 448, no infinities.
"""

import triton
import triton.language as tl


@triton.jit
def decode_e4m3(bits, HARDWARE: tl.constexpr):
    """Return float16 values of uint8 ``bits``, exactly; NaN codes decode to 480."""
    if HARDWARE:
        return bits.to(tl.float8e4nv, bitcast=True).to(tl.float16)
    # The fields land in float16's at a bias 8 too small, subnormals included.
    wide = bits.to(tl.uint16)
    half = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    return half.to(tl.float16, bitcast=True) * 256.0


@triton.jit
def encode_e4m3(x, HARDWARE: tl.constexpr):
    """Round float32 ``x`` to E4M3, to nearest even, saturating at 448; returns uint8."""
    clamped = tl.minimum(tl.maximum(x, -448.0), 448.0)
    if HARDWARE:
        # Triton's own cast goes through float16, towards zero, on sm_89: one of 250 is not nearest.
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b16 a, b;
            cvt.rn.satfinite.e4m3x2.f32 a, $2, $1;
            cvt.rn.satfinite.e4m3x2.f32 b, $4, $3;
            mov.b32 $0, {a, b};
            }
            """,
            "=r,f,f,f,f",
            [clamped],
            dtype=tl.uint8,
            is_pure=True,
            pack=4,
        )
    raw = clamped.to(tl.uint32, bitcast=True)
    magnitude = raw & 0x7FFFFFFF
    rounded = (magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20
    normal = rounded - (120 << 3)
    # One unit in the last place of 2^14 is 2^-9, the step of E4M3's subnormals.
    shifted = tl.abs(clamped) + 16384.0
    subnormal = shifted.to(tl.uint32, bitcast=True) - 0x46800000
    code = tl.where(magnitude < 0x3C800000, subnormal, normal)
    return (code | ((raw >> 24) & 0x80)).to(tl.uint8)
