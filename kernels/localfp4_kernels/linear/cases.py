"""The launches of this family that a model needs: decoding here, prefill beside it."""

from collections.abc import Iterator
from typing import get_args

import torch
import triton

from localfp4_kernels.cases import Case, Gate, ModelShape
from localfp4_kernels.linear.activation import Planes, Words
from localfp4_kernels.linear.gemv import UNROLL, gemv_tile, natural_words, plan_gemv
from localfp4_kernels.linear.prefill_cases import prefill_cases
from localfp4_kernels.linear.w4a16 import plan_w4a16, w4a16_tile
from localfp4_kernels.linear.weights import Fp4Weight
from localfp4_kernels.pointwise.gated_mul import Gate as GateName
from localfp4_kernels.target import Target

_GEMV_LIMITS = {"e2m1": 1.7, "e4m3": 2.6, "shift": 3.55}
"""Instructions per weight of the matrix-vector product, by the route of its codes."""

_W4A16_LIMITS = {8: 3.2, 16: 3.7, 32: 4.75}
"""Instructions per weight of the product with a few tokens, by the tokens of a tile."""

_RAGGED = 0.2
"""What masks may add where rounds do not divide the columns."""

_SMALL = 0.2
"""What half as many rows per program may add: activations are loaded for fewer of them."""

_SHIFT = 1.7
"""What Ampere may add for want of conversions from 8 bits."""


def linear_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    if shape.weight in ("nvfp4", "mxfp4"):
        for name, (rows, columns) in shape.linears.items():
            weight = _weight(rows, columns, shape.weight)
            yield _gemv(weight, None, target)
            if name == "gate_up":
                for gate in get_args(GateName):
                    if gate == shape.gate:
                        yield _gemv(weight, gate, target)
            for tokens in _tokens(shape, target):
                yield from _w4a16(weight, tokens, target)
    yield from prefill_cases(shape, target)


def _tokens(shape: ModelShape, target: Target) -> tuple[int, ...]:
    """Return a number of tokens for each tile; the widest is for prefill with 16 bits."""
    decode = (8, 16, 32, 64)
    return (*decode, 1024) if shape.activations == 16 or not target.has_fp8 else decode


def _gemv(weight: Fp4Weight, gate: GateName | None, target: Target) -> Case:
    rows, columns = weight.shape
    data = torch.empty(1, 8, columns // 16, dtype=torch.int32, device="meta")
    x = Words(data, torch.empty(1, device="meta"), natural_words(target))
    plan = plan_gemv(x, weight, target=target, gate=gate, out_dtype=torch.bfloat16)
    tile = gemv_tile(rows, columns, target)
    limit = _GEMV_LIMITS[target.code_route]
    limit += _RAGGED * (columns % tile.block_k > 0) + _SMALL * (tile.block_n * tile.block_k < 16384)
    has_loop = triton.cdiv(columns, tile.block_k) > UNROLL
    name = f"gemv {rows}x{columns} {_format(weight)}" + (f" {gate}" if gate else "")
    weights = UNROLL * tile.block_n * tile.block_k / (32 * tile.num_warps) if has_loop else None
    return Case(name, plan.launches[0], Gate(wide_loads=True, per_weight=limit), weights)


def _w4a16(weight: Fp4Weight, tokens: int, target: Target) -> Iterator[Case]:
    rows, columns = weight.shape
    data = torch.empty(tokens, 2, columns // 2, dtype=torch.float16, device="meta")
    x = Planes(data, torch.empty(tokens, device="meta"))
    plan = plan_w4a16(x, weight, target=target, out_dtype=torch.bfloat16)
    tile = w4a16_tile(tokens, rows, target)
    limit = _W4A16_LIMITS.get(tile.tokens)
    if limit is not None:
        limit += _RAGGED * (columns % tile.columns > 0) + _SHIFT * (target.code_route == "shift")
    instruction = "HGMMA" if target.capability == 90 and tile.warps > 2 else "HMMA"
    limits = Gate(instruction, wide_loads=True, per_weight=limit)
    name = f"w4a16 {rows}x{columns} {_format(weight)} {tokens} tokens"
    launch = plan.launches[0]
    # Two rounds or fewer leave no loop in which to count.
    weights = tile.weights_per_thread if launch.constants["PER_SPLIT"] > 2 else None
    yield Case(name, launch, limits, weights)
    for launch in plan.launches[1:]:
        splits = launch.constants["SPLITS"]
        yield Case(f"w4a16 reduce {rows} rows {splits} splits", launch)


def _weight(rows: int, columns: int, kind: str) -> Fp4Weight:
    group = 32 if kind == "mxfp4" else 16
    return Fp4Weight(
        torch.empty(rows, columns // 2, dtype=torch.uint8, device="meta"),
        torch.empty(rows, columns // group, dtype=torch.uint8, device="meta"),
        torch.empty(rows, device="meta"),
        group,
        "e8m0" if kind == "mxfp4" else "e4m3",
    )


def _format(weight: Fp4Weight) -> str:
    return "nvfp4" if weight.group == 16 else "mxfp4"
