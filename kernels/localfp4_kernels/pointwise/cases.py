"""The launches of this family that a model needs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch

from localfp4_kernels.cases import Case, Gate, ModelShape
from localfp4_kernels.dispatch import Kernel, Kind, Phase, Product, choose
from localfp4_kernels.linear.arrange import ToPlanes, ToRows, ToWords
from localfp4_kernels.linear.gemv import natural_words
from localfp4_kernels.linear.group_norm import GroupNormed
from localfp4_kernels.linear.head_gate import HeadGated
from localfp4_kernels.linear.norm_source import Normed, Update
from localfp4_kernels.linear.outline import outline_weight
from localfp4_kernels.linear.produce import Sink, plan_produce
from localfp4_kernels.linear.quantize_fp4 import ToMxfp4, ToNvfp4
from localfp4_kernels.linear.quantize_fp8 import ToFp8Planes, ToFp8Rows
from localfp4_kernels.linear.source import Rows, Source, activated
from localfp4_kernels.pointwise.activations import ActivationFunction
from localfp4_kernels.pointwise.embedding import plan_embedding
from localfp4_kernels.pointwise.soft_cap import plan_soft_cap
from localfp4_kernels.target import Target

_TOKENS = 2
"""Of a planned launch; machine code does not depend on it."""


def pointwise_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    yield from _produce_cases(shape, target)
    ids, table = _meta(_TOKENS, dtype=torch.int64), _meta(shape.vocab, shape.hidden)
    scale = shape.hidden**0.5 if shape.activation == "gelu_tanh" else 1.0
    (launch,) = plan_embedding(ids, table, scale=scale, target=target).launches
    yield Case(f"embedding {shape.vocab}x{shape.hidden}", launch, Gate(registers=64))
    if shape.soft_cap:
        logits = _meta(_TOKENS, shape.vocab, dtype=torch.float32)
        (launch,) = plan_soft_cap(logits, 30.0, target=target).launches
        yield Case(f"soft_cap {shape.vocab}", launch, Gate(registers=64))


def _produce_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    forms = list(_sinks(shape, target))
    plain = [("rows", ToRows(torch.bfloat16))]
    for source_name, source, rows in _sources(shape):
        copies = isinstance(source, Rows) or rows is not None
        for sink_name, sink in forms if copies else [*forms, *plain]:
            (launch,) = plan_produce(source, sink, rows=rows, target=target).launches
            gate = Gate(registers=2048 // launch.num_warps, wide_loads=True)
            yield Case(f"produce {source.width} {source_name} to {sink_name}", launch, gate)


def _sources(shape: ModelShape) -> Iterator[tuple[str, Source, torch.Tensor | None]]:
    """Yield what the layers of a model compute, and where a copy in 16 bits is needed, too."""
    x, weight = _meta(_TOKENS, shape.hidden), _meta(shape.hidden)
    round_first = shape.activation == "silu" and not shape.plus_one
    norm = "norm" + " 1+w" * shape.plus_one + " rounded" * round_first
    normed = Normed(x, weight, 1e-6, shape.plus_one, round_first)
    added = replace(normed, update=Update(x))
    yield norm, normed, None
    yield f"add {norm}", added, None
    if shape.activation == "gelu_tanh":
        yield f"norm add {norm}", replace(normed, update=Update(x, weight)), None
    if shape.experts:
        yield f"add {norm} + rows", added, x
    attention = _meta(_TOKENS, shape.heads * shape.head_dim)
    yield "attention", Rows(attention), None
    if shape.delta_k_heads:
        query_and_gate = _meta(_TOKENS, shape.heads, 2 * shape.head_dim)
        gate = query_and_gate[..., shape.head_dim :]
        yield "head_gated attention", HeadGated(attention, gate), None
        heads, dim = shape.delta_v_heads, shape.delta_head_dim
        o, z = _meta(_TOKENS, heads * dim), _meta(_TOKENS, heads * dim)
        yield "group_normed delta", GroupNormed(o, z, _meta(dim), heads, 1e-6, False), None
    for width in sorted({shape.intermediate, shape.expert_intermediate} - {0}):
        first = _meta(_TOKENS, shape.halves * width)
        yield shape.activation, activated(first, cast(ActivationFunction, shape.activation)), None


def _sinks(shape: ModelShape, target: Target) -> Iterator[tuple[str, Sink[Any]]]:
    """Yield the forms that the matrix kernels of a model take."""
    if shape.weight == "bf16":
        return
    if shape.four_bit:
        natural = natural_words(outline_weight(shape.weight, 16, 128), target)
        yield ("natural_words" if natural else "words"), ToWords(natural)
        yield "planes", ToPlanes()
    product = Product(Kind(shape.weight), Phase.PREFILL, 1024, shape.activations)
    kernel = choose(product, target).kernel
    if kernel is Kernel.W4A4 and shape.weight == "nvfp4":
        yield "nvfp4", ToNvfp4()
        yield "nvfp4 static", ToNvfp4(_meta(dtype=torch.float32))
    elif kernel is Kernel.W4A4:
        yield "mxfp4", ToMxfp4()
    elif kernel is Kernel.W4A8:
        yield "fp8_planes", ToFp8Planes()
    elif kernel is Kernel.W8A8:
        yield "fp8_rows", ToFp8Rows()
        yield "fp8_blocks", ToFp8Rows(blocks=True)


def _meta(*size: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(size, dtype=dtype, device="meta")
