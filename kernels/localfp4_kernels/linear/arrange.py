"""Sinks of 16 bits: words for matrix-vector kernels, planes for matrix kernels, plain rows.

Words and planes are float16; each token is scaled by a power of two so that its amax lies in [2^9, 2^10). bfloat16
elements are then exact down to 2^-26 of the token's amax, float16 elements down to 2^-23; what is
smaller loses its last bits, and float32 elements are rounded to 11 bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from localfp4_kernels.checks import FLOAT_TYPES
from localfp4_kernels.launch import Plan
from localfp4_kernels.linear.activation import BYTE_ORDER, Planes, Words
from localfp4_kernels.linear.produce import Sink, plan_produce
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class ToRows(Sink[torch.Tensor]):
    """Write rows ``[T, K]`` as they are, unscaled.

    Attributes:
        dtype: bfloat16, float16 or float32.
    """

    dtype: torch.dtype
    multiple: ClassVar[int] = 1
    name: ClassVar[str] = "rows"

    def check(self, width: int, x: torch.Tensor) -> None:
        """Check the width and the type.

        Raises:
            ValueError: One does not fit.
        """
        Sink.check(self, width, x)
        if self.dtype not in FLOAT_TYPES:
            raise ValueError(f"dtype must be one of {FLOAT_TYPES}, not {self.dtype}")

    def empty(self, tokens: int, width: int, device: torch.device) -> torch.Tensor:
        """Allocate the result."""
        return torch.empty(tokens, width, dtype=self.dtype, device=device)

    def arguments(self, out: torch.Tensor) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {"data_ptr": out}

    def write_torch(self, x: torch.Tensor) -> torch.Tensor:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        return x.to(self.dtype)


@dataclass(frozen=True, slots=True)
class ToWords(Sink[Words]):
    """Write words of two float16 values.

    Attributes:
        natural: Whether words hold neighbours; else they follow the order of bytes.
    """

    natural: bool
    multiple: ClassVar[int] = 16

    @property
    def name(self) -> str:
        """What the kernel calls it."""
        return "natural_words" if self.natural else "words"

    def empty(self, tokens: int, width: int, device: torch.device) -> Words:
        """Allocate the result."""
        data = torch.empty(tokens, 8, width // 16, dtype=torch.int32, device=device)
        return Words(data, torch.empty(tokens, device=device), self.natural)

    def arguments(self, out: Words) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {"data_ptr": out.data, "scale_ptr": out.scale}

    def write_torch(self, x: torch.Tensor) -> Words:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        halves, scale = _scaled_halves(x)
        groups = halves.unflatten(1, (-1, 16))
        if not self.natural:
            groups = groups[..., list(BYTE_ORDER)]
        data = groups.contiguous().view(torch.int32).transpose(1, 2).contiguous()
        return Words(data, scale, self.natural)


@dataclass(frozen=True, slots=True)
class ToPlanes(Sink[Planes]):
    """Write the elements of even index, then those of odd index."""

    multiple: ClassVar[int] = 2
    name: ClassVar[str] = "planes"

    def empty(self, tokens: int, width: int, device: torch.device) -> Planes:
        """Allocate the result."""
        data = torch.empty(tokens, 2, width // 2, dtype=torch.float16, device=device)
        return Planes(data, torch.empty(tokens, device=device))

    def arguments(self, out: Planes) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {"data_ptr": out.data, "scale_ptr": out.scale}

    def write_torch(self, x: torch.Tensor) -> Planes:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        halves, scale = _scaled_halves(x)
        return Planes(halves.unflatten(1, (-1, 2)).transpose(1, 2).contiguous(), scale)


def plan_arrange_words(x: torch.Tensor, *, natural: bool, target: Target) -> Plan[Words]:
    """Plan :func:`arrange_words`."""
    return plan_produce(Rows(x), ToWords(natural), target=target)


def arrange_words(x: torch.Tensor, *, natural: bool, target: Target) -> Words:
    """Write rows as words of two float16 values.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K a multiple of 16.
        natural: Whether words hold neighbours; else they follow the order of bytes.
        target: What to run on.

    Raises:
        ValueError: ``x`` is something else.
    """
    return plan_arrange_words(x, natural=natural, target=target).run()


def arrange_words_torch(x: torch.Tensor, *, natural: bool) -> Words:
    """Write rows as words in plain torch."""
    return ToWords(natural).write_torch(x.float())


def plan_arrange_planes(x: torch.Tensor, *, target: Target) -> Plan[Planes]:
    """Plan :func:`arrange_planes`."""
    return plan_produce(Rows(x), ToPlanes(), target=target)


def arrange_planes(x: torch.Tensor, *, target: Target) -> Planes:
    """Write rows as float16 planes of even and odd elements.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K even.
        target: What to run on.

    Raises:
        ValueError: ``x`` is something else.
    """
    return plan_arrange_planes(x, target=target).run()


def arrange_planes_torch(x: torch.Tensor) -> Planes:
    """Write rows as planes in plain torch."""
    return ToPlanes().write_torch(x.float())


def _scaled_halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float16 ``[T, K]``, amax in [2^9, 2^10), and the float32 ``[T]`` to undo it."""
    amax = x.abs().amax(1)
    exponent = torch.where(amax == 0, 10, torch.frexp(amax).exponent).clamp(min=-116)
    one = torch.ones_like(amax)
    return (x * torch.ldexp(one, 10 - exponent).unsqueeze(1)).half(), torch.ldexp(
        one, exponent - 10
    )
