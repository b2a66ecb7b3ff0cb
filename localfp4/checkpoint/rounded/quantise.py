"""Round-to-nearest quantisation of a matrix into the tensors of each format.

A few rows are computed at a time, so that little is in memory beside the matrix and its codes.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from localfp4.checkpoint.rounded.forms import INT4_GROUP
from localfp4_kernels.formats.int4 import pack_int4_torch
from localfp4_kernels.formats.mxfp4 import quantize_mxfp4_torch
from localfp4_kernels.formats.nvfp4 import E4M3_MAX, quantize_nvfp4_torch

_PIECE = 2**22
"""Weights that are rounded at once."""

_ROW_STEP = 8
"""Zero points of so many rows share a word."""

_LARGEST_CODE = 15

Tensors = dict[str, torch.Tensor]
"""By the suffix of their names, as :data:`localfp4.checkpoint.rounded.forms.FORMS` lists them."""


def quantise(weight: torch.Tensor, rounding: str) -> Tensors:
    """Round a matrix to nearest.

    Args:
        weight: ``[N, K]`` of any floating type; K is a multiple of the format's columns.
        rounding: Of :data:`localfp4.config.ROUNDINGS`.

    Raises:
        ValueError: The weight is not finite.
    """
    return _QUANTISERS[rounding](weight)


def _nvfp4(weight: torch.Tensor) -> Tensors:
    """As ModelOpt does it, with the largest magnitude of the matrix for its global scale."""
    low, high = weight.aminmax()
    amax = torch.maximum(-low, high).item()
    global_scale = quantize_nvfp4_torch(weight.new_zeros(1, 16), amax).global_scale

    def quantised(rows: torch.Tensor) -> Tensors:
        found = quantize_nvfp4_torch(rows, amax)
        return {".weight": found.packed, ".weight_scale": found.scale}

    return _by_rows(weight, quantised) | {".weight_scale_2": global_scale}


def _mxfp4(weight: torch.Tensor) -> Tensors:
    def quantised(rows: torch.Tensor) -> Tensors:
        found = quantize_mxfp4_torch(rows)
        return {".weight_packed": found.packed, ".weight_scale": found.scale}

    return _by_rows(weight, quantised)


def _fp8(weight: torch.Tensor) -> Tensors:
    """As compressed-tensors does it, with the largest magnitude of a row for its scale."""

    def quantised(rows: torch.Tensor) -> Tensors:
        scale = _usable(rows.abs().amax(1, keepdim=True) / E4M3_MAX)
        codes = (rows / scale).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
        return {".weight": codes, ".weight_scale": scale}

    return _by_rows(weight, quantised)


def _int4(weight: torch.Tensor) -> Tensors:
    """As compressed-tensors does it with zero points; zero itself is always exact.

    Scales are bfloat16, which kernels keep exactly, and codes are rounded with those.
    """

    def quantised(rows: torch.Tensor) -> Tensors:
        groups = rows.unflatten(1, (-1, INT4_GROUP))
        low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
        exact = _usable((high - low) / _LARGEST_CODE)
        zero = (-low / exact).round().clamp(0, _LARGEST_CODE)
        stored = _usable(exact.bfloat16())
        codes = (groups / stored.float().unsqueeze(-1) + zero.unsqueeze(-1)).round()
        codes = codes.clamp(0, _LARGEST_CODE).byte().flatten(1)
        return {
            ".weight_packed": pack_int4_torch(codes).view(torch.int32),
            ".weight_scale": stored,
            ".weight_zero_point": _words_of_rows(zero.byte()),
        }

    return _by_rows(weight, quantised)


_QUANTISERS: Mapping[str, Callable[[torch.Tensor], Tensors]] = MappingProxyType(
    {"nvfp4": _nvfp4, "mxfp4": _mxfp4, "fp8": _fp8, "int4": _int4}
)


def _by_rows(weight: torch.Tensor, quantised: Callable[[torch.Tensor], Tensors]) -> Tensors:
    """Quantise some rows at a time, in float32."""
    step = max(_PIECE // weight.shape[1] // _ROW_STEP, 1) * _ROW_STEP
    parts = [quantised(rows.float().contiguous()) for rows in weight.split(step)]
    if len(parts) == 1:
        return parts[0]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Put parts one below the other, through bytes: float8 types cannot be joined everywhere."""
    dtype = parts[0].dtype
    if dtype.itemsize > 1:
        return torch.cat(list(parts))
    return torch.cat([part.view(torch.uint8) for part in parts]).view(dtype)


def _usable(scale: torch.Tensor) -> torch.Tensor:
    """Return scales with one in place of zero, by which nothing can be divided.

    Raises:
        ValueError: One is not finite.
    """
    if not scale.isfinite().all():
        raise ValueError("the weight holds values that are not finite")
    return torch.where(scale == 0, 1, scale)


def _words_of_rows(codes: torch.Tensor) -> torch.Tensor:
    """Pack codes, uint8 ``[N, G]``, into int32 ``[ceil(N / 8), G]``, the first row lowest."""
    rows, groups = codes.shape
    padded = codes.new_zeros(-(-rows // _ROW_STEP) * _ROW_STEP, groups)
    padded[:rows] = codes
    eights = padded.unflatten(0, (-1, _ROW_STEP)).transpose(1, 2).reshape(-1, _ROW_STEP)
    return pack_int4_torch(eights.contiguous()).view(torch.int32).view(-1, groups)
