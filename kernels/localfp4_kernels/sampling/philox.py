"""Philox-4x32-10 (Salmon et al. 2011) for ints, numpy and torch: what kernels draw, without Triton.

A number depends on a seed and a position alone, so that a token does not depend on the step it is
drawn in, on its neighbours, or on whether somebody guessed it before.
"""

from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF

Words = TypeVar("Words", int, NDArray[Any])


def random_31_bits_of(seed: Words, position: Words) -> Words:
    """Return the first word of the generator without its lowest bit, of one number or of many.

    Args:
        seed: The key, 64 bits; uint64 in an array.
        position: The counter, likewise.
    """
    a, b, c, d = position & _WORD, position >> 32 & _WORD, position & 0, position & 0
    first, second = seed & _WORD, seed >> 32 & _WORD
    for _ in range(_ROUNDS):
        even, odd = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = odd >> 32 ^ b ^ first, odd & _WORD, even >> 32 ^ d ^ second, even & _WORD
        first, second = first + _KEY_STEPS[0] & _WORD, second + _KEY_STEPS[1] & _WORD
    return a >> 1


def random_31_bits_torch(seed: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Compute the same for int64 tensors ``[R]``."""
    counter = [position & _WORD, (position >> 32) & _WORD, position * 0, position * 0]
    key = [seed & _WORD, (seed >> 32) & _WORD]
    for _ in range(_ROUNDS):
        high_0, low_0 = _multiply(counter[0], _MULTIPLIERS[0])
        high_2, low_2 = _multiply(counter[2], _MULTIPLIERS[1])
        counter = [high_2 ^ counter[1] ^ key[0], low_2, high_0 ^ counter[3] ^ key[1], low_0]
        key = [(word + step) & _WORD for word, step in zip(key, _KEY_STEPS, strict=True)]
    return counter[0] >> 1


def _multiply(word: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the high and the low 32 bits of a product, which would not fit into an int64."""
    low = word * (factor & 0xFFFF)
    high = word * (factor >> 16) + (low >> 16)
    return high >> 16, ((high & 0xFFFF) << 16) | (low & 0xFFFF)
