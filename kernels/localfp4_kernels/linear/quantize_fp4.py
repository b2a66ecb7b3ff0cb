"""Sinks of 4 bits: E2M1 with scales per group, NVFP4 or MXFP4.

NVFP4: with the token's scale G, the scale of a group of 16 is ``e4m3(amax / (6 G))``, which
saturates at 448, and its codes are ``e2m1(x * (1 / (scale * G)))``; all float32. G is the
checkpoint's input scale where there is one (ModelOpt's ``input_scale``, calibrated amax / 2688),
else the token's own amax / 2688. A group whose scale rounds to zero has codes of zero.

MXFP4: the scale of a group of 32 is ``2^(floor(log2(amax)) - 2)`` (OCP Microscaling Formats v1.0,
section 6.3), at least 2^-127, and its codes are ``e2m1(x * (1 / G) / scale)``. Without an input
scale G is 1, and what exceeds 6 saturates. FP-Quant's checkpoints shrink elements to 3/4 so that
nothing does: G is 4 / 3, or 4 over the file's ``act_global_scale``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.formats.mxfp4 import BIAS
from localfp4_kernels.formats.nvfp4 import pack_e2m1_torch
from localfp4_kernels.launch import Plan
from localfp4_kernels.linear.activation import Fp4Rows
from localfp4_kernels.linear.produce import Sink, plan_produce
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.linear.torch_quantize import mxfp4_codes_torch, nvfp4_codes_torch
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class ToNvfp4(Sink[Fp4Rows]):
    """Write E2M1 with an E4M3 scale per 16 elements.

    Attributes:
        input_scale: float32 ``[]``, the scale G of all tokens; ``None`` takes each token's own.
    """

    input_scale: torch.Tensor | None = None
    multiple: ClassVar[int] = 16
    name: ClassVar[str] = "nvfp4"

    def check(self, width: int, x: torch.Tensor) -> None:
        """Check the width and the input scale.

        Raises:
            ValueError: One does not fit.
        """
        Sink.check(self, width, x)
        _check_input_scale(self.input_scale, x)

    def empty(self, tokens: int, width: int, device: torch.device) -> Fp4Rows:
        """Allocate the result."""
        return _empty(tokens, width, 16, device)

    def arguments(self, out: Fp4Rows) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {**_pointers(out), "input_scale_ptr": self.input_scale}

    def write_torch(self, x: torch.Tensor) -> Fp4Rows:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        codes, scale, token_scale = nvfp4_codes_torch(x, self.input_scale)
        return Fp4Rows(pack_e2m1_torch(codes.flatten(1)), scale.view(torch.uint8), token_scale)


@dataclass(frozen=True, slots=True)
class ToMxfp4(Sink[Fp4Rows]):
    """Write E2M1 with a power of two per 32 elements.

    Attributes:
        input_scale: float32 ``[]``, the scale G of all tokens; ``None`` is 1.
    """

    input_scale: torch.Tensor | None = None
    multiple: ClassVar[int] = 32
    name: ClassVar[str] = "mxfp4"

    def check(self, width: int, x: torch.Tensor) -> None:
        """Check the width and the input scale.

        Raises:
            ValueError: One does not fit.
        """
        Sink.check(self, width, x)
        _check_input_scale(self.input_scale, x)

    def empty(self, tokens: int, width: int, device: torch.device) -> Fp4Rows:
        """Allocate the result."""
        return _empty(tokens, width, 32, device)

    def arguments(self, out: Fp4Rows) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {**_pointers(out), "input_scale_ptr": self.input_scale}

    def write_torch(self, x: torch.Tensor) -> Fp4Rows:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        codes, exponent, token_scale = mxfp4_codes_torch(x, self.input_scale)
        bits = (exponent + BIAS).to(torch.uint8)
        return Fp4Rows(pack_e2m1_torch(codes.flatten(1)), bits, token_scale, 32)


def plan_quantize_nvfp4_rows(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None, target: Target
) -> Plan[Fp4Rows]:
    """Plan :func:`quantize_nvfp4_rows`."""
    return plan_produce(Rows(x), ToNvfp4(input_scale), target=target)


def quantize_nvfp4_rows(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None, target: Target
) -> Fp4Rows:
    """Quantise rows to NVFP4.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K a multiple of 16.
        input_scale: float32 ``[]``, the scale of all tokens; ``None`` takes each token's own.
        target: What to run on.

    Raises:
        ValueError: An argument is something else.
    """
    return plan_quantize_nvfp4_rows(x, input_scale=input_scale, target=target).run()


def quantize_nvfp4_rows_torch(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None
) -> Fp4Rows:
    """Quantise rows to NVFP4 in plain torch."""
    return ToNvfp4(input_scale).write_torch(x.float())


def plan_quantize_mxfp4_rows(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None, target: Target
) -> Plan[Fp4Rows]:
    """Plan :func:`quantize_mxfp4_rows`."""
    return plan_produce(Rows(x), ToMxfp4(input_scale), target=target)


def quantize_mxfp4_rows(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None, target: Target
) -> Fp4Rows:
    """Quantise rows to MXFP4.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K a multiple of 32.
        input_scale: float32 ``[]``, the scale of all tokens; ``None`` is 1.
        target: What to run on.

    Raises:
        ValueError: An argument is something else.
    """
    return plan_quantize_mxfp4_rows(x, input_scale=input_scale, target=target).run()


def quantize_mxfp4_rows_torch(
    x: torch.Tensor, *, input_scale: torch.Tensor | None = None
) -> Fp4Rows:
    """Quantise rows to MXFP4 in plain torch."""
    return ToMxfp4(input_scale).write_torch(x.float())


def _check_input_scale(scale: torch.Tensor | None, x: torch.Tensor) -> None:
    if scale is not None:
        check_tensor("input_scale", scale, (), torch.float32, like=x)


def _empty(tokens: int, width: int, group: int, device: torch.device) -> Fp4Rows:
    return Fp4Rows(
        torch.empty(tokens, width // 2, dtype=torch.uint8, device=device),
        torch.empty(tokens, width // group, dtype=torch.uint8, device=device),
        torch.empty(tokens, device=device),
        group,
    )


def _pointers(out: Fp4Rows) -> dict[str, torch.Tensor | None]:
    return {"data_ptr": out.packed, "scale_ptr": out.scale, "token_scale_ptr": out.token_scale}
