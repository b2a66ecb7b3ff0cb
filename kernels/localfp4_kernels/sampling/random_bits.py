"""Random numbers that depend on a seed and a position alone: Philox (Salmon et al. 2011)."""

import torch
import triton
import triton.language as tl

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF


@triton.jit
def random_31_bits(seed, position):
    """Return the first word of Philox-4x32-10 without its lowest bit, as int64."""
    low = (position & 0xFFFFFFFF).to(tl.uint32)
    high = (position >> 32).to(tl.uint32)
    zero = low * 0
    word, _, _, _ = tl.philox(seed, low, high, zero, zero)
    return (word >> 1).to(tl.int64)


def random_31_bits_torch(seed: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Compute the same for int64 tensors ``[R]`` in plain torch."""
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
