"""Matrix-vector products with 4-bit weights: decoding one token.

Every weight is read once, so the kernel has to keep up with memory: it reads one 64-bit word of 16
codes at a time, multiplies and adds them in float16 pairs, and brings in the group's scale once
per word, in float32. Partial sums stay in registers until the end. The sums within a word round to
float16, 4e-4 to 5e-4 of the result, below the rounding of a bfloat16 activation (2e-3).
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.formats.e4m3 import decode_e4m3
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.activation import BYTE_ORDER, Words
from localfp4_kernels.linear.gate import (
    apply_gate,
    apply_gate_torch,
    check_gate,
    gate_rows,
)
from localfp4_kernels.linear.prepare import check_fp4_weight, dequantize_fp4
from localfp4_kernels.linear.tiles import add_epilogue_torch, check_epilogue, interpreted_rows
from localfp4_kernels.linear.weights import Fp4Weight
from localfp4_kernels.pointwise.gated_mul import Gate
from localfp4_kernels.target import Target


@triton.constexpr_function
def word_unit(route):
    """Return what :func:`multiply_word` results must be multiplied by."""
    return {"e2m1": 1.0, "e4m3": 64.0, "shift": 16384.0, "bits": 1.0}[route]


@triton.jit
def multiply_word(low, high, x0, x1, x2, x3, x4, x5, x6, x7, ROUTE: tl.constexpr):
    """Multiply 16 codes by 16 activations and add up, in units of ``1 / word_unit(ROUTE)``.

    ``low`` and ``high``, int32, are the first and the last 8 codes of words; ``x0`` to ``x7``,
    int32, hold two float16 activations each, in the order of ``Words`` (natural for route
    ``e2m1``). Returns float32 in the shape to which all of them broadcast.
    """
    if ROUTE == "e2m1":
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b8 b0, b1, b2, b3;
            .reg .b32 c, sum;
            .reg .b16 h0, h1;
            .reg .f32 f0, f1;
            mov.b32 {b0, b1, b2, b3}, $1;
            cvt.rn.f16x2.e2m1x2 c, b0;
            mul.rn.f16x2 sum, c, $3;
            cvt.rn.f16x2.e2m1x2 c, b1;
            fma.rn.f16x2 sum, c, $4, sum;
            cvt.rn.f16x2.e2m1x2 c, b2;
            fma.rn.f16x2 sum, c, $5, sum;
            cvt.rn.f16x2.e2m1x2 c, b3;
            fma.rn.f16x2 sum, c, $6, sum;
            mov.b32 {b0, b1, b2, b3}, $2;
            cvt.rn.f16x2.e2m1x2 c, b0;
            fma.rn.f16x2 sum, c, $7, sum;
            cvt.rn.f16x2.e2m1x2 c, b1;
            fma.rn.f16x2 sum, c, $8, sum;
            cvt.rn.f16x2.e2m1x2 c, b2;
            fma.rn.f16x2 sum, c, $9, sum;
            cvt.rn.f16x2.e2m1x2 c, b3;
            fma.rn.f16x2 sum, c, $10, sum;
            mov.b32 {h0, h1}, sum;
            cvt.f32.f16 f0, h0;
            cvt.f32.f16 f1, h1;
            add.f32 $0, f0, f1;
            }
            """,
            "=f,r,r,r,r,r,r,r,r,r,r",
            [low, high, x0, x1, x2, x3, x4, x5, x6, x7],
            dtype=tl.float32,
            is_pure=True,
            pack=1,
        )
    if ROUTE == "e4m3":
        # A code moved two bits up is an E4M3 byte of 2^-6 times its value.
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b32 t, u, c, sum;
            .reg .b16 a, b, h0, h1;
            .reg .f32 f0, f1;
            shl.b32 u, $1, 4;
            and.b32 t, u, 0x70707070;
            shr.u32 t, t, 2;
            lop3.b32 u, u, 0x80808080, t, 0xEA;
            mov.b32 {a, b}, u;
            cvt.rn.f16x2.e4m3x2 c, a;
            mul.rn.f16x2 sum, c, $3;
            cvt.rn.f16x2.e4m3x2 c, b;
            fma.rn.f16x2 sum, c, $4, sum;
            and.b32 t, $1, 0x70707070;
            shr.u32 t, t, 2;
            lop3.b32 u, $1, 0x80808080, t, 0xEA;
            mov.b32 {a, b}, u;
            cvt.rn.f16x2.e4m3x2 c, a;
            fma.rn.f16x2 sum, c, $5, sum;
            cvt.rn.f16x2.e4m3x2 c, b;
            fma.rn.f16x2 sum, c, $6, sum;
            shl.b32 u, $2, 4;
            and.b32 t, u, 0x70707070;
            shr.u32 t, t, 2;
            lop3.b32 u, u, 0x80808080, t, 0xEA;
            mov.b32 {a, b}, u;
            cvt.rn.f16x2.e4m3x2 c, a;
            fma.rn.f16x2 sum, c, $7, sum;
            cvt.rn.f16x2.e4m3x2 c, b;
            fma.rn.f16x2 sum, c, $8, sum;
            and.b32 t, $2, 0x70707070;
            shr.u32 t, t, 2;
            lop3.b32 u, $2, 0x80808080, t, 0xEA;
            mov.b32 {a, b}, u;
            cvt.rn.f16x2.e4m3x2 c, a;
            fma.rn.f16x2 sum, c, $9, sum;
            cvt.rn.f16x2.e4m3x2 c, b;
            fma.rn.f16x2 sum, c, $10, sum;
            mov.b32 {h0, h1}, sum;
            cvt.f32.f16 f0, h0;
            cvt.f32.f16 f1, h1;
            add.f32 $0, f0, f1;
            }
            """,
            "=f,r,r,r,r,r,r,r,r,r,r",
            [low, high, x0, x1, x2, x3, x4, x5, x6, x7],
            dtype=tl.float32,
            is_pure=True,
            pack=1,
        )
    if ROUTE == "shift":
        # Bytes go to the top of 16-bit lanes; a code's fields three bits further down, at the
        # top of float16's mantissa and the bottom of its exponent, are 2^-14 times its value.
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b32 t, u, w, c, sum;
            .reg .b16 h0, h1;
            .reg .f32 f0, f1;
            prmt.b32 w, $1, 0, 0x1404;
            shl.b32 u, w, 4;
            and.b32 t, u, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, u, 0x80008000, t, 0xEA;
            mul.rn.f16x2 sum, c, $3;
            and.b32 t, w, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, w, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $5, sum;
            prmt.b32 w, $1, 0, 0x3424;
            shl.b32 u, w, 4;
            and.b32 t, u, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, u, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $4, sum;
            and.b32 t, w, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, w, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $6, sum;
            prmt.b32 w, $2, 0, 0x1404;
            shl.b32 u, w, 4;
            and.b32 t, u, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, u, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $7, sum;
            and.b32 t, w, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, w, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $9, sum;
            prmt.b32 w, $2, 0, 0x3424;
            shl.b32 u, w, 4;
            and.b32 t, u, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, u, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $8, sum;
            and.b32 t, w, 0x70007000;
            shr.u32 t, t, 3;
            lop3.b32 c, w, 0x80008000, t, 0xEA;
            fma.rn.f16x2 sum, c, $10, sum;
            mov.b32 {h0, h1}, sum;
            cvt.f32.f16 f0, h0;
            cvt.f32.f16 f1, h1;
            add.f32 $0, f0, f1;
            }
            """,
            "=f,r,r,r,r,r,r,r,r,r,r",
            [low, high, x0, x1, x2, x3, x4, x5, x6, x7],
            dtype=tl.float32,
            is_pure=True,
            pack=1,
        )
    return _multiply_word_bits(low, high, x0, x1, x2, x3, x4, x5, x6, x7)


@triton.jit
def _multiply_word_bits(low, high, x0, x1, x2, x3, x4, x5, x6, x7):
    """Do the same in integer and float32 arithmetic: ``[R, W]`` codes with ``[1, W]`` words."""
    place = tl.arange(0, 16)
    # Of a place's bits h, c, a and b, the code's number is 8 h + 4 a + 2 b + c.
    shift = 16 * ((place >> 1) & 1) + 8 * (place & 1) + 4 * ((place >> 2) & 1)
    half = tl.where(place < 8, low[:, :, None], high[:, :, None])
    code = (half >> shift) & 0xF
    bits = ((code & 0x7) << 9) | ((code & 0x8) << 12)
    values = bits.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32) * 16384.0
    first = tl.join(tl.join(x0, x4), tl.join(x2, x6))
    second = tl.join(tl.join(x1, x5), tl.join(x3, x7))
    words = tl.reshape(tl.join(first, second), (1, low.shape[1], 8))
    pairs = (words[:, :, :, None] >> (16 * tl.arange(0, 2))) & 0xFFFF
    x = tl.reshape(pairs, (1, low.shape[1], 16)).to(tl.uint16).to(tl.float16, bitcast=True)
    return tl.sum(values * x.to(tl.float32), 2)


@triton.jit
def gemv_accumulate(
    x_ptr,
    packed_ptr,
    scale_ptr,
    rows,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    ROUTE: tl.constexpr,
    HARDWARE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Multiply one token by rows of a matrix.

    Args:
        x_ptr: int32 ``[8, K/16]`` of the token, as in ``Words``.
        packed_ptr: int64 ``[N, K/16]``, one word of 16 codes per element.
        scale_ptr: uint8 ``[N, K/GROUP]``.
        rows: int32 ``[BLOCK_N]``, rows of the matrix; they must be in range.
        K: Columns, a multiple of ``GROUP``.
        GROUP: 16 for E4M3 scales, 32 for E8M0 scales.
        ROUTE: ``target.code_route``.
        HARDWARE: ``target.has_fp8``.
        BLOCK_N: Rows.
        BLOCK_K: Columns per round; see ``gemv_tile``.

    Returns:
        float32 ``[BLOCK_N]``, still to be multiplied by the scales of rows and token.
    """
    WORDS: tl.constexpr = K // 16
    BLOCK: tl.constexpr = BLOCK_K // 16
    # Zeros stand in for words past the end; None, where there are none, asks for plain loads.
    zero: tl.constexpr = 0 if WORDS % BLOCK else None
    place = tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK_N, BLOCK), tl.float32)
    for start in tl.range(0, WORDS, BLOCK, loop_unroll_factor=2):
        word = (start + place)[None, :]
        inside = word < WORDS if WORDS % BLOCK else None
        packed = tl.load(
            packed_ptr + rows[:, None] * WORDS + word, inside, zero, eviction_policy="evict_first"
        )
        if GROUP == 16:
            scale_place = rows[:, None] * WORDS + word
        else:
            scale_place = rows[:, None] * (WORDS // 2) + word // 2
        bits = tl.load(scale_ptr + scale_place, inside, zero, eviction_policy="evict_first")
        if GROUP == 16:
            scale = decode_e4m3(bits, HARDWARE).to(tl.float32)
        else:
            scale = (bits.to(tl.uint32) << 23).to(tl.float32, bitcast=True)
        x0 = tl.load(x_ptr + word, inside, zero)
        x1 = tl.load(x_ptr + 1 * WORDS + word, inside, zero)
        x2 = tl.load(x_ptr + 2 * WORDS + word, inside, zero)
        x3 = tl.load(x_ptr + 3 * WORDS + word, inside, zero)
        x4 = tl.load(x_ptr + 4 * WORDS + word, inside, zero)
        x5 = tl.load(x_ptr + 5 * WORDS + word, inside, zero)
        x6 = tl.load(x_ptr + 6 * WORDS + word, inside, zero)
        x7 = tl.load(x_ptr + 7 * WORDS + word, inside, zero)
        low, high = packed.to(tl.int32), (packed >> 32).to(tl.int32)
        sums += multiply_word(low, high, x0, x1, x2, x3, x4, x5, x6, x7, ROUTE) * scale
    return tl.sum(sums, 1) * word_unit(ROUTE)


@triton.jit
def _gemv_kernel(
    x_ptr,
    x_scale_ptr,
    packed_ptr,
    scale_ptr,
    row_scale_ptr,
    bias_ptr,
    residual_ptr,
    out_ptr,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    GATE: tl.constexpr,
    ROUTE: tl.constexpr,
    HARDWARE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Compute one token's results of one block of rows."""
    token = tl.program_id(1)
    OUT: tl.constexpr = N if GATE is None else N // 2
    BLOCK_OUT: tl.constexpr = BLOCK_N if GATE is None else BLOCK_N // 2
    first = tl.program_id(0) * BLOCK_OUT
    if GATE is not None:
        rows = gate_rows(first, OUT, BLOCK_N)
    elif N % BLOCK_N:
        rows = tl.minimum(first + tl.arange(0, BLOCK_N), N - 1)
    else:
        rows = first + tl.arange(0, BLOCK_N)
    x_ptr += token * (K // 2)
    sums = gemv_accumulate(
        x_ptr, packed_ptr, scale_ptr, rows, K, GROUP, ROUTE, HARDWARE, BLOCK_N, BLOCK_K
    )
    y = sums * tl.load(row_scale_ptr + rows) * tl.load(x_scale_ptr + token)
    if bias_ptr is not None:
        y += tl.load(bias_ptr + rows).to(tl.float32)
    if GATE is not None:
        y = apply_gate(y, GATE)
    column = first + tl.arange(0, BLOCK_OUT)
    place = token * OUT + column
    if residual_ptr is not None:
        y += tl.load(residual_ptr + place, column < OUT).to(tl.float32)
    tl.store(out_ptr + place, y.to(out_ptr.dtype.element_ty), column < OUT)


@dataclass(frozen=True, slots=True)
class GemvTile:
    """How a matrix is cut into programs.

    Attributes:
        block_n: Rows per program.
        block_k: Columns per round of its loop.
        num_warps: Warps per program.
    """

    block_n: int
    block_k: int
    num_warps: int = 4


UNROLL = 2
"""Rounds per branch of the loop, which lets their loads overlap."""


def gemv_tile(n: int, k: int, target: Target) -> GemvTile:
    """Choose a tile of which each thread holds eight words: all loads are 128 bits wide.

    Args:
        n: Rows that one launch reads.
        k: Columns.
        target: Few rows are cut finer, so that every multiprocessor has two programs.
    """
    block_k = next((block for block in (1024, 512, 256) if k % block == 0), 512)
    if target.interpreted:
        return GemvTile(interpreted_rows(n), block_k)
    if block_k == 1024 and triton.cdiv(n, 16) < 2 * target.multiprocessors:
        return GemvTile(8, 1024)
    return GemvTile(16384 // block_k, block_k)


def natural_words(target: Target) -> bool:
    """Say whether the kernels on a target take ``Words`` in natural order."""
    return target.code_route == "e2m1"


def plan_gemv(
    x: Words,
    weight: Fp4Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    gate: Gate | None = None,
    out_dtype: torch.dtype,
) -> Plan[torch.Tensor]:
    """Plan :func:`gemv`."""
    tokens, columns = x.shape
    rows, _ = weight.shape
    check_tensor("x.data", x.data, ("T", 8, columns // 16), torch.int32)
    check_tensor("x.scale", x.scale, (tokens,), torch.float32, like=x.data)
    if x.natural != natural_words(target):
        raise ValueError(f"x.natural must be {natural_words(target)} on {target}")
    check_fp4_weight(weight, columns, like=x.data)
    width = check_gate(gate, rows, residual)
    check_epilogue(bias, residual, out_dtype, (tokens, rows), x.data)
    tile = gemv_tile(rows, columns, target)
    out = torch.empty(tokens, width, dtype=out_dtype, device=x.data.device)
    block_out = tile.block_n if gate is None else tile.block_n // 2
    launch = Launch(
        _gemv_kernel,
        (triton.cdiv(width, block_out), tokens),
        {
            "x_ptr": x.data,
            "x_scale_ptr": x.scale,
            "packed_ptr": weight.packed.view(torch.int64),
            "scale_ptr": weight.scale,
            "row_scale_ptr": weight.row_scale,
            "bias_ptr": bias,
            "residual_ptr": residual,
            "out_ptr": out,
        },
        {
            "N": rows,
            "K": columns,
            "GROUP": weight.group,
            "GATE": gate,
            "ROUTE": target.code_route,
            "HARDWARE": target.has_fp8,
            "BLOCK_N": tile.block_n,
            "BLOCK_K": tile.block_k,
        },
        num_warps=tile.num_warps,
    )
    return Plan((launch,), out)


def gemv(
    x: Words,
    weight: Fp4Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    gate: Gate | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Return ``x W^T + bias + residual``, or ``gate(g) * u`` of its halves, for very few tokens.

    The weight is read once per token.

    Args:
        x: ``[T, K]``, in the order that :func:`natural_words` names.
        weight: ``[N, K]``; with a gate, the gate's N/2 rows first.
        target: What it runs on.
        bias: ``[N]``, any floating type.
        residual: ``[T, N]``, any floating type; not with a gate.
        gate: Function of the gate half.
        out_dtype: Of the result.

    Returns:
        ``[T, N]``, or ``[T, N/2]`` with a gate. Everything is added up in float32 and rounded once.

    Raises:
        ValueError: An argument has another shape, type, layout or device.
    """
    plan = plan_gemv(
        x,
        weight,
        target=target,
        bias=bias,
        residual=residual,
        gate=gate,
        out_dtype=out_dtype,
    )
    return plan.run()


def gemv_torch(
    x: Words,
    weight: Fp4Weight,
    *,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    gate: Gate | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Compute :func:`gemv` with the weight expanded to float32."""
    y = add_epilogue_torch(words_torch(x) @ dequantize_fp4(weight).T, bias, None, torch.float32)
    return add_epilogue_torch(apply_gate_torch(y, gate), None, residual, out_dtype)


def words_torch(x: Words) -> torch.Tensor:
    """Expand words to float32 ``[T, K]`` in natural order, scaled back."""
    tokens, columns = x.shape
    pairs = x.data.flatten().view(torch.float16).view(tokens, 8, columns // 16, 2)
    groups = pairs.permute(0, 2, 1, 3).reshape(tokens, columns // 16, 16)
    if not x.natural:
        groups = groups[..., torch.tensor(BYTE_ORDER, device=groups.device).argsort()]
    return groups.reshape(tokens, columns).float() * x.scale.unsqueeze(1)
