"""How a program writes one token, held in registers, in the forms of the matrix kernels.

The functions take ``x``, float32 ``[BLOCK]`` in natural order with zeros from ``K`` on. Pairs and
groups of neighbours are reshapes of what a thread holds already; only finished elements move to
other threads, where that joins stores.
"""

import triton
import triton.language as tl

from localfp4_kernels.formats.e2m1 import encode_e2m1
from localfp4_kernels.formats.e4m3 import decode_e4m3, encode_e4m3
from localfp4_kernels.linear.torch_quantize import LEAST_SCALE

TINY = tl.constexpr(LEAST_SCALE)


@triton.jit
def store_rows(values, out_ptr, token, K: tl.constexpr, BLOCK: tl.constexpr):
    """Write elements of any type in natural order."""
    column = tl.arange(0, BLOCK)
    tl.store(out_ptr + token * K + column, values, column < K)


@triton.jit
def store_sink(
    x,
    data_ptr,
    scale_ptr,
    token_scale_ptr,
    input_scale_ptr,
    token,
    SINK: tl.constexpr,
    HARDWARE_E4M3: tl.constexpr,
    HARDWARE_E2M1: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write a token in the form that a sink names, with its scales."""
    if SINK == "rows":
        store_rows(x.to(data_ptr.dtype.element_ty), data_ptr, token, K, BLOCK)
    elif SINK == "words" or SINK == "natural_words":
        scale, inverse = _power_of_two(x)
        _store_words(x * scale, data_ptr, token, SINK == "natural_words", K, BLOCK)
        tl.store(scale_ptr + token, inverse)
    elif SINK == "planes":
        scale, inverse = _power_of_two(x)
        _store_planes((x * scale).to(tl.float16), data_ptr, token, K, BLOCK)
        tl.store(scale_ptr + token, inverse)
    elif SINK == "fp8_planes":
        values, scale = _quantize_fp8(x, HARDWARE_E4M3)
        _store_planes(values, data_ptr, token, K, BLOCK)
        tl.store(scale_ptr + token, scale)
    elif SINK == "fp8_rows":
        values, scale = _quantize_fp8(x, HARDWARE_E4M3)
        store_rows(values, data_ptr, token, K, BLOCK)
        tl.store(scale_ptr + token, scale)
    elif SINK == "fp8_blocks":
        _store_fp8_blocks(x, data_ptr, scale_ptr, token, HARDWARE_E4M3, K, BLOCK)
    elif SINK == "nvfp4":
        _store_nvfp4(
            x,
            data_ptr,
            scale_ptr,
            token_scale_ptr,
            input_scale_ptr,
            token,
            HARDWARE_E4M3,
            HARDWARE_E2M1,
            K,
            BLOCK,
        )
    elif SINK == "mxfp4":
        _store_mxfp4(
            x,
            data_ptr,
            scale_ptr,
            token_scale_ptr,
            input_scale_ptr,
            token,
            HARDWARE_E2M1,
            K,
            BLOCK,
        )
    else:
        tl.static_assert(False, "no such sink")


@triton.jit
def _power_of_two(x):
    """Return the power of two that brings the row's amax to [2^9, 2^10), and its inverse.

    From the exponent bits of amax; both are normal float32 numbers. Rows below 2^-117 stay below
    2^9, and a row of zeros is not scaled.
    """
    amax = tl.max(tl.abs(x))
    exponent = tl.maximum(amax.to(tl.uint32, bitcast=True) >> 23, 10)
    exponent = tl.where(amax == 0.0, 136, exponent)
    scale = ((263 - exponent) << 23).to(tl.float32, bitcast=True)
    inverse = ((exponent - 9) << 23).to(tl.float32, bitcast=True)
    return scale, inverse


@triton.jit
def _store_words(x, out_ptr, token, NATURAL: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr):
    """Write float16 pairs as :class:`~localfp4_kernels.linear.activation.Words`."""
    bits = x.to(tl.float16).to(tl.uint16, bitcast=True).to(tl.uint32)
    if not NATURAL:
        # Of an element's index 8h+4a+2b+c, h, c and a choose the word and b the half.
        bits = tl.permute(tl.reshape(bits, (BLOCK // 8, 2, 2, 2)), (0, 3, 1, 2))
    low, high = tl.split(tl.reshape(bits, (BLOCK // 16, 8, 2)))
    word = tl.arange(0, 8)[None, :]
    group = tl.arange(0, BLOCK // 16)[:, None]
    place = token * (K // 2) + word * (K // 16) + group
    tl.store(out_ptr + place, (low | (high << 16)).to(tl.int32, bitcast=True), group < K // 16)


@triton.jit
def _store_planes(values, out_ptr, token, K: tl.constexpr, BLOCK: tl.constexpr):
    """Write the elements of even index, then those of odd index, of any type."""
    even, odd = tl.split(tl.reshape(values, (BLOCK // 2, 2)))
    store_rows(even, out_ptr, 2 * token, K // 2, BLOCK // 2)
    store_rows(odd, out_ptr, 2 * token + 1, K // 2, BLOCK // 2)


@triton.jit
def _quantize_fp8(x, HARDWARE: tl.constexpr):
    """Return uint8 E4M3 of the row and its scale, amax / 448."""
    scale = tl.maximum(tl.div_rn(tl.max(tl.abs(x)), 448.0), TINY)
    return encode_e4m3(x * tl.div_rn(1.0, scale), HARDWARE), scale


@triton.jit
def _store_fp8_blocks(
    x, out_ptr, scale_ptr, token, HARDWARE: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr
):
    """Write E4M3 in natural order with a scale per 128 elements."""
    blocks = tl.reshape(x, (BLOCK // 128, 128))
    scale = tl.maximum(tl.div_rn(tl.max(tl.abs(blocks), 1), 448.0), TINY)
    values = encode_e4m3(blocks * tl.div_rn(1.0, scale)[:, None], HARDWARE)
    store_rows(tl.reshape(values, (BLOCK,)), out_ptr, token, K, BLOCK)
    store_rows(scale, scale_ptr, token, tl.cdiv(K, 128), BLOCK // 128)


@triton.jit
def _store_nvfp4(
    x,
    out_ptr,
    scale_ptr,
    token_scale_ptr,
    input_scale_ptr,
    token,
    HARDWARE_E4M3: tl.constexpr,
    HARDWARE_E2M1: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write E2M1 with an E4M3 scale per 16 elements and a float32 scale of the token."""
    groups = tl.reshape(x, (BLOCK // 16, 16))
    amax = tl.max(tl.abs(groups), 1)
    if input_scale_ptr is None:
        token_scale = tl.div_rn(tl.max(amax), 2688.0)
    else:
        token_scale = tl.load(input_scale_ptr)
    token_scale = tl.maximum(token_scale, TINY)
    bits = encode_e4m3(tl.div_rn(amax, 6.0 * token_scale), HARDWARE_E4M3)
    scale = decode_e4m3(bits, HARDWARE_E4M3).to(tl.float32)
    # The least scale, 2^-9, stands in for zero only to keep the division finite.
    inverse = tl.div_rn(1.0, tl.maximum(scale, 0.001953125) * token_scale)
    inverse = tl.where(scale == 0.0, 0.0, inverse)
    _store_codes(groups * inverse[:, None], out_ptr, token, HARDWARE_E2M1, K, BLOCK)
    store_rows(bits, scale_ptr, token, K // 16, BLOCK // 16)
    tl.store(token_scale_ptr + token, token_scale)


@triton.jit
def _store_mxfp4(
    x,
    out_ptr,
    scale_ptr,
    token_scale_ptr,
    input_scale_ptr,
    token,
    HARDWARE: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write E2M1 with an E8M0 scale per 32 elements."""
    groups = tl.reshape(x, (BLOCK // 32, 32))
    amax = tl.max(tl.abs(groups), 1)
    # The largest E2M1 is 1.5 times 2^2.
    bits = tl.maximum((amax.to(tl.uint32, bitcast=True) >> 23).to(tl.int32) - 2, 0)
    inverse = ((254 - bits) << 23).to(tl.float32, bitcast=True)
    token_scale = 1.0
    if input_scale_ptr is not None:
        token_scale = tl.load(input_scale_ptr)
        groups *= tl.div_rn(1.0, token_scale)
    _store_codes(groups * inverse[:, None], out_ptr, token, HARDWARE, K, BLOCK)
    store_rows(bits.to(tl.uint8), scale_ptr, token, K // 32, BLOCK // 32)
    tl.store(token_scale_ptr + token, token_scale)


@triton.jit
def _store_codes(
    scaled, out_ptr, token, HARDWARE: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr
):
    even, odd = tl.split(tl.reshape(scaled, (BLOCK // 2, 2)))
    store_rows(encode_e2m1(even, odd, HARDWARE), out_ptr, token, K // 2, BLOCK // 2)
