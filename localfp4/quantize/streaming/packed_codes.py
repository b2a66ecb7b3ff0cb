"""Codes as named tensors, and back."""

from collections.abc import Mapping
from types import MappingProxyType

import torch

from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.rounding.codes import (
    Codes,
    Fp8Codes,
    GlobalScale,
    Mxfp4Codes,
    Nvfp4Codes,
)

_DIVISOR, _MULTIPLIER = "global_divisor", "global_multiplier"

TENSORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nvfp4": ("packed", "scale", _DIVISOR, _MULTIPLIER),
        "mxfp4": ("packed", "scale"),
        "fp8": ("data", "scale"),
    }
)
"""Names of the tensors that each kind of codes may have."""


def kind_of(codes: Codes) -> WeightFormat:
    """Return what codes are of."""
    match codes:
        case Nvfp4Codes():
            return "nvfp4"
        case Mxfp4Codes():
            return "mxfp4"
        case Fp8Codes():
            return "fp8"


def tensors_of(codes: Codes) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the kind of codes, and their tensors by short names."""
    match codes:
        case Nvfp4Codes(packed, scale, one):
            name = _DIVISOR if one.divides else _MULTIPLIER
            return "nvfp4", {"packed": packed, "scale": scale, name: one.stored}
        case Mxfp4Codes(packed, scale):
            return "mxfp4", {"packed": packed, "scale": scale}
        case Fp8Codes(data, scale):
            return "fp8", {"data": data, "scale": scale}


def codes_of(kind: str, tensors: dict[str, torch.Tensor]) -> Codes:
    """Return the codes that :func:`tensors_of` took apart."""
    if kind == "fp8":
        return Fp8Codes(tensors["data"], tensors["scale"])
    if kind == "mxfp4":
        return Mxfp4Codes(tensors["packed"], tensors["scale"])
    divides = _DIVISOR in tensors
    stored = tensors[_DIVISOR if divides else _MULTIPLIER]
    return Nvfp4Codes(tensors["packed"], tensors["scale"], GlobalScale(stored, divides))
