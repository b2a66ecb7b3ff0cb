"""Logits as ordered integers and as integer masses, whose sums do not depend on their order.

A *share* is a token's probability divided by that of the most probable one; a *mass* is a share in
units of 2**-40. Integers make every sum exact, so that which tokens are kept and which is drawn
depend neither on how a row was cut into blocks nor on what else is in the batch.
"""

import triton
import triton.language as tl

MASS_UNIT = tl.constexpr(2.0**40)
"""2**20 tokens of the largest mass still fit into an int64."""

COLDEST = tl.constexpr(1e-6)
"""Temperatures below are raised to it: as good as greedy, and no division by zero."""

_LOG2_E = tl.constexpr(1.4426950408889634)
_LOWEST = tl.constexpr(float("-inf"))


@triton.jit
def load_block(logits_ptr, row, block, V: tl.constexpr, SPAN: tl.constexpr):
    """Load SPAN logits of a row and their token ids; NaN and what lies past V are -inf."""
    token = block * SPAN + tl.arange(0, SPAN)
    x = tl.load(logits_ptr + row.to(tl.int64) * V + token, mask=token < V, other=_LOWEST)
    return tl.where(x == x, x, _LOWEST), token


@triton.jit
def below(x, peak):
    """Return ``x - peak``, which is 0 for equal infinities too."""
    equal = x == peak
    return tl.where(equal, 0.0, x) - tl.where(equal, 0.0, peak)


@triton.jit
def share_of(x, peak, temperature):
    """Return a logit's probability relative to that of the row's largest one."""
    return tl.exp2(below(x, peak) * (_LOG2_E / tl.maximum(temperature, COLDEST)))


@triton.jit
def load_shares(logits_ptr, row, block, peak, temperature, V: tl.constexpr, SPAN: tl.constexpr):
    """Load a block of a row as keys and shares; past V the shares are 0."""
    x, token = load_block(logits_ptr, row, block, V, SPAN)
    share = tl.where(token < V, share_of(x, peak, temperature), 0.0)
    return to_key(x), share


@triton.jit
def to_mass(share):
    """Return a share as an integer."""
    return (share * MASS_UNIT).to(tl.int64)


@triton.jit
def to_key(x):
    """Return the bits of float32 as uint32 that order as the numbers do; both zeros are one."""
    bits = tl.where(x == 0, 0.0, x).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.uint32, bitcast=True) ^ 0x80000000


@triton.jit
def from_key(key):
    """Return the float32 of a key."""
    bits = (key ^ 0x80000000).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def scale_mass(mass, factor):
    """Return ``mass * factor / 2**31`` rounded down, for a factor of at most 2**31."""
    low = (mass & 0x7FFFFFFF) * factor
    return (mass >> 31) * factor + (low >> 31)
