"""The Hadamard transform of blocks on the device, which spreads outliers before 4-bit rounding.

The matrix is that of :mod:`~localfp4_kernels.formats.torch_hadamard`.
"""

import triton
import triton.language as tl


@triton.constexpr_function
def _log2(value):
    return value.bit_length() - 1


@triton.jit
def rotate(x, HADAMARD: tl.constexpr, BLOCK: tl.constexpr):
    """Transform float32 ``[BLOCK]`` in blocks of ``HADAMARD`` by butterflies."""
    for stage in tl.static_range(_log2(HADAMARD)):
        x = _butterflies(x, 1 << stage, BLOCK)
    return x * (HADAMARD**-0.5)


@triton.jit
def _butterflies(x, SPAN: tl.constexpr, BLOCK: tl.constexpr):
    """Replace elements ``SPAN`` apart by their sum and difference."""
    pairs = tl.reshape(x, (BLOCK // (2 * SPAN), 2, SPAN))
    sign = tl.where(tl.arange(0, 2) == 0, 1.0, -1.0)[None, :, None]
    # Reductions leave every element where it is; splitting and joining pairs would move them all
    # through shared memory.
    total = tl.sum(pairs, 1)[:, None, :]
    difference = tl.sum(pairs * sign, 1)[:, None, :]
    return tl.reshape(tl.where(sign > 0.0, total, difference), (BLOCK,))
