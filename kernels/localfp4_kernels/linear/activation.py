"""The forms in which the matrix kernels take their input.

The order of K within a product is free as long as weight and activation agree, so the producer of
an activation writes it in the order in which the kernel unpacks its weights, and no kernel ever
interleaves. 16-bit forms are float16 because codes become float16 cheapest; each token is scaled
by a power of two first, so that nothing overflows and nothing that matters rounds.
"""

from dataclasses import dataclass

import torch

BYTE_ORDER = (0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15)
"""Elements of a group of 16 in the order in which codes leave 32-bit words as bytes."""


@dataclass(frozen=True, slots=True)
class Words:
    """Input of the matrix-vector kernels, in words of two float16 values.

    Attributes:
        data: int32 ``[T, 8, K/16]``; word j of group g holds two of the 16 elements of group g:
            2j and 2j+1 in natural order, otherwise those at 2j and 2j+1 of ``BYTE_ORDER``.
        scale: float32 ``[T]``, the power of two to multiply products by.
        natural: Whether words hold neighbours.
    """

    data: torch.Tensor
    scale: torch.Tensor
    natural: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens T and width K."""
        return self.data.shape[0], 16 * self.data.shape[2]


@dataclass(frozen=True, slots=True)
class Planes:
    """Input of the 16-bit matrix kernels on 4-bit weights.

    Attributes:
        data: float16 ``[T, 2, K/2]``; the elements of even index, then those of odd index.
        scale: float32 ``[T]``, the power of two to multiply products by.
    """

    data: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens T and width K."""
        return self.data.shape[0], 2 * self.data.shape[2]


@dataclass(frozen=True, slots=True)
class Fp8Planes:
    """Input of the 8-bit matrix kernels on 4-bit weights.

    Attributes:
        data: uint8 ``[T, 2, K/2]``, bits of E4M3; even elements, then odd ones.
        scale: float32 ``[T]``, to multiply products by.
    """

    data: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens T and width K."""
        return self.data.shape[0], 2 * self.data.shape[2]


@dataclass(frozen=True, slots=True)
class Fp8Rows:
    """Input of the 8-bit matrix kernels on 8-bit weights.

    Attributes:
        data: uint8 ``[T, K]``, bits of E4M3 in natural order.
        scale: float32 ``[T]``, or ``[T, ceil(K/128)]`` for weights scaled in blocks.
    """

    data: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens T and width K."""
        return self.data.shape[0], self.data.shape[1]


@dataclass(frozen=True, slots=True)
class Fp4Rows:
    """Input of the 4-bit matrix kernels.

    Attributes:
        packed: uint8 ``[T, K/2]`` E2M1 codes, the even element in the low nibble.
        scale: uint8 ``[T, K/group]``, bits of E4M3 (group 16) or E8M0 (group 32).
        token_scale: float32 ``[T]``, to multiply products by; with a static global scale all are
            equal.
        group: 16 or 32.
    """

    packed: torch.Tensor
    scale: torch.Tensor
    token_scale: torch.Tensor
    group: int = 16

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens T and width K."""
        return self.packed.shape[0], 2 * self.packed.shape[1]


Activation = Words | Planes | Fp8Planes | Fp8Rows | Fp4Rows
