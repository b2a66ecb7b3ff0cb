"""Which kind of products a loaded decoder runs, of those that a device's peaks are measured for."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from localfp4.models.chosen_kernels import chosen_kernels
from localfp4_kernels.dispatch import Kernel, Phase

if TYPE_CHECKING:
    from localfp4.models.decoder import Decoder

_SLOWEST_FIRST = ("float32", "bfloat16", "fp8", "fp4")

_NARROW: Mapping[Kernel, str] = MappingProxyType(
    {Kernel.W4A4: "fp4", Kernel.W4A8: "fp8", Kernel.W8A8: "fp8"}
)
"""Kernels that multiply in less than the compute type; others widen what they read."""


@dataclass(frozen=True, slots=True)
class Products:
    """The fastest products of each phase, whatever else runs beside them.

    Attention, routers and the output projection multiply in the compute type all the same, so that
    a peak of narrower products is one that no model of several parts reaches.

    Attributes:
        prefill: ``float32``, ``bfloat16``, ``fp8`` or ``fp4``.
        decode: Likewise.
    """

    prefill: str
    decode: str


def products_of(decoder: "Decoder") -> Products:
    """Ask a decoder what its layers run."""
    return Products(_fastest(decoder, Phase.PREFILL), _fastest(decoder, Phase.DECODE))


def _fastest(decoder: "Decoder", phase: Phase) -> str:
    # 16-bit types have the same rate.
    wide = "float32" if str(decoder.dtype) == "torch.float32" else "bfloat16"
    kernels = chosen_kernels(decoder, phase)
    return max((_NARROW.get(one, wide) for one in kernels), key=_SLOWEST_FIRST.index, default=wide)
