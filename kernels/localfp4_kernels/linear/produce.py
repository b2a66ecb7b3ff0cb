"""Makes the input of matrix kernels: one launch from what a layer has to what the next one reads.

A *source* computes a token in registers: rows as they are, a norm, a gate. It may be scaled per
channel and rotated there. A *sink* writes it, in 16 bits or quantised. Every sink goes with every
source, and each program takes one token, whole, because scales depend on all of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_multiple, check_tensor
from localfp4_kernels.formats.hadamard import rotate
from localfp4_kernels.formats.torch_hadamard import HADAMARD_BLOCKS, hadamard_torch
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.load_source import load_rows, load_source
from localfp4_kernels.linear.source import Source
from localfp4_kernels.linear.store import store_rows, store_sink
from localfp4_kernels.target import Target

R = TypeVar("R")

MAX_WIDTH = 32_768
"""Widest token: a program holds it in registers, 64 elements in each of 512 threads."""

_OPTIONAL = (
    "residual_ptr",
    "weight_ptr",
    "post_weight_ptr",
    "scalar_ptr",
    "gate_ptr",
    "scale_ptr",
    "token_scale_ptr",
    "input_scale_ptr",
)
"""Pointers that not every source and sink has."""

_SOURCE_CONSTANTS = (
    "PLUS_ONE",
    "ROUND_FIRST",
    "GATE",
    "HEAD_DIM",
    "GATE_TOKEN_STRIDE",
    "GATE_HEAD_STRIDE",
    "GATE_STRIDE",
)
"""Constants that not every source has."""


class Sink(ABC, Generic[R]):
    """A form to write tokens in.

    Attributes:
        multiple: What the width must be a multiple of.
    """

    multiple: ClassVar[int]

    @property
    @abstractmethod
    def name(self) -> str:
        """What the kernel calls it."""

    def check(self, width: int, x: torch.Tensor) -> None:
        """Check that tokens of this width, computed from ``x``, can be written.

        Raises:
            ValueError: They cannot.
        """
        check_multiple("the width of a token", width, self.multiple)

    @abstractmethod
    def empty(self, tokens: int, width: int, device: torch.device) -> R:
        """Allocate the result."""

    @abstractmethod
    def arguments(self, out: R) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""

    @abstractmethod
    def write_torch(self, x: torch.Tensor) -> R:
        """Write float32 tokens ``[T, K]`` in plain torch."""


@triton.jit
def _produce_kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    post_weight_ptr,
    scalar_ptr,
    eps,
    factor,
    gate_ptr,
    channel_scale_ptr,
    rows_ptr,
    data_ptr,
    scale_ptr,
    token_scale_ptr,
    input_scale_ptr,
    SOURCE: tl.constexpr,
    X_STRIDE: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    GATE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    GATE_TOKEN_STRIDE: tl.constexpr,
    GATE_HEAD_STRIDE: tl.constexpr,
    GATE_STRIDE: tl.constexpr,
    HADAMARD: tl.constexpr,
    SINK: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
    HARDWARE_E4M3: tl.constexpr,
    HARDWARE_E2M1: tl.constexpr,
):
    """Compute token ``program_id(0)`` and write it."""
    token = tl.program_id(0).to(tl.int64)
    x = load_source(
        x_ptr,
        residual_ptr,
        weight_ptr,
        post_weight_ptr,
        scalar_ptr,
        eps,
        factor,
        gate_ptr,
        token,
        SOURCE,
        X_STRIDE,
        PLUS_ONE,
        ROUND_FIRST,
        GATE,
        HEAD_DIM,
        GATE_TOKEN_STRIDE,
        GATE_HEAD_STRIDE,
        GATE_STRIDE,
        K,
        BLOCK,
    )
    if rows_ptr is not None:
        store_rows(x.to(rows_ptr.dtype.element_ty), rows_ptr, token, K, BLOCK)
    if channel_scale_ptr is not None:
        x *= load_rows(channel_scale_ptr, 0, K, BLOCK)
    if HADAMARD is not None:
        x = rotate(x, HADAMARD, BLOCK)
    store_sink(
        x,
        data_ptr,
        scale_ptr,
        token_scale_ptr,
        input_scale_ptr,
        token,
        SINK,
        HARDWARE_E4M3,
        HARDWARE_E2M1,
        K,
        BLOCK,
    )


def plan_produce(
    source: Source,
    sink: Sink[R],
    *,
    target: Target,
    channel_scale: torch.Tensor | None = None,
    hadamard: int | None = None,
    rows: torch.Tensor | None = None,
) -> Plan[R]:
    """Plan :func:`produce`."""
    source.check()
    tokens, width = source.x.shape[0], source.width
    sink.check(width, source.x)
    if not 0 < width <= MAX_WIDTH:
        raise ValueError(f"tokens must have 1 to {MAX_WIDTH} elements, not {width}")
    if channel_scale is not None:
        check_tensor("channel_scale", channel_scale, (width,), FLOAT_TYPES, like=source.x)
    if hadamard is not None:
        _check_hadamard(hadamard, width)
    if rows is not None:
        check_tensor("rows", rows, (tokens, width), FLOAT_TYPES, like=source.x)
    out = sink.empty(tokens, width, source.x.device)
    block = max(triton.next_power_of_2(width), 128)
    launch = Launch(
        _produce_kernel,
        (tokens,),
        {
            **dict.fromkeys(_OPTIONAL),
            "eps": 0.0,
            "factor": 1.0,
            "channel_scale_ptr": channel_scale,
            "rows_ptr": rows,
            **source.arguments,
            **sink.arguments(out),
        },
        {
            "SOURCE": source.name,
            "X_STRIDE": source.x.stride(0),
            **dict.fromkeys(_SOURCE_CONSTANTS),
            **source.constants,
            "HADAMARD": hadamard,
            "SINK": sink.name,
            "K": width,
            "BLOCK": block,
            "HARDWARE_E4M3": target.has_fp8,
            "HARDWARE_E2M1": target.has_fp4,
        },
        num_warps=min(max(block // 512, 1), 16),
    )
    return Plan((launch,), out)


def produce(
    source: Source,
    sink: Sink[R],
    *,
    target: Target,
    channel_scale: torch.Tensor | None = None,
    hadamard: int | None = None,
    rows: torch.Tensor | None = None,
) -> R:
    """Compute tokens and write them in a form that matrix kernels read.

    Args:
        source: What to compute.
        sink: The form.
        target: What to run on.
        channel_scale: ``[K]``, any floating type: multiplies the source's channels, in float32 (the
            ``pre_quant_scale`` of AWQ and SVDQuant checkpoints).
        hadamard: Size of the blocks to rotate then, 16, 32, 64 or 128; ``None`` for no rotation.
        rows: ``[T, K]``, where to write the source's tokens, too, as they are: for what reads 16
            bits beside the matrices, such as the router of experts.

    Raises:
        ValueError: A tensor does not fit, or the width does not suit the form or the rotation.
    """
    return plan_produce(
        source, sink, target=target, channel_scale=channel_scale, hadamard=hadamard, rows=rows
    ).run()


def produce_torch(
    source: Source,
    sink: Sink[R],
    *,
    channel_scale: torch.Tensor | None = None,
    hadamard: int | None = None,
    rows: torch.Tensor | None = None,
) -> R:
    """Compute what :func:`produce` does in plain torch."""
    x = source.compute_torch()
    if rows is not None:
        rows.copy_(x)
    if channel_scale is not None:
        x = x * channel_scale.float()
    if hadamard is not None:
        x = hadamard_torch(x, hadamard)
    return sink.write_torch(x)


def _check_hadamard(block: int, width: int) -> None:
    if block not in HADAMARD_BLOCKS:
        raise ValueError(f"hadamard must be one of {HADAMARD_BLOCKS}, not {block}")
    check_multiple("the width of rotated tokens", width, block)
