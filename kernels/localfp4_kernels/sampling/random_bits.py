"""Random numbers that depend on a seed and a position alone, for kernels."""

import triton
import triton.language as tl


@triton.jit
def random_31_bits(seed, position):
    """Return the first word of Philox-4x32-10 without its lowest bit, as int64.

    :mod:`localfp4_kernels.sampling.philox` gives the same without Triton.
    """
    low = (position & 0xFFFFFFFF).to(tl.uint32)
    high = (position >> 32).to(tl.uint32)
    zero = low * 0
    word, _, _, _ = tl.philox(seed, low, high, zero, zero)
    return (word >> 1).to(tl.int64)
