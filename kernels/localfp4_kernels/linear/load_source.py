"""How a program computes one token of a source, in registers."""

import triton
import triton.language as tl

from localfp4_kernels.pointwise.gated_mul_tile import gated_mul, relu2


@triton.jit
def load_rows(x_ptr, token, K: tl.constexpr, BLOCK: tl.constexpr):
    """Return row ``token`` in float32, zeros from ``K`` on."""
    column = tl.arange(0, BLOCK)
    return tl.load(x_ptr + token * K + column, column < K, 0.0).to(tl.float32)


@triton.jit
def load_source(
    x_ptr,
    residual_ptr,
    weight_ptr,
    post_weight_ptr,
    scalar_ptr,
    eps,
    factor,
    gate_ptr,
    token,
    SOURCE: tl.constexpr,
    X_STRIDE: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    GATE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    GATE_TOKEN_STRIDE: tl.constexpr,
    GATE_HEAD_STRIDE: tl.constexpr,
    GATE_STRIDE: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return what a source computes for row ``token``, float32, zeros from ``K`` on."""
    x_ptr += token * X_STRIDE
    x = load_rows(x_ptr, 0, K, BLOCK)
    if SOURCE == "normed" or SOURCE == "summed":
        if residual_ptr is not None:
            x = _update(
                x,
                residual_ptr + token * K,
                post_weight_ptr,
                scalar_ptr,
                eps,
                factor,
                PLUS_ONE,
                ROUND_FIRST,
                K,
                BLOCK,
            )
        if SOURCE == "normed":
            x = _norm(x, weight_ptr, eps, PLUS_ONE, ROUND_FIRST, K, BLOCK)
    elif SOURCE == "gated" or SOURCE == "relu2":
        x = gated_mul(x, load_rows(x_ptr, 1, K, BLOCK), GATE) if SOURCE == "gated" else relu2(x)
        if gate_ptr is not None:
            x *= tl.sigmoid(tl.load(gate_ptr + token).to(tl.float32))
    elif SOURCE == "head_gated":
        column = tl.arange(0, BLOCK)
        place = column // HEAD_DIM * GATE_HEAD_STRIDE + column % HEAD_DIM * GATE_STRIDE
        gate = tl.load(gate_ptr + token * GATE_TOKEN_STRIDE + place, column < K, 0.0)
        x *= _gate(gate.to(tl.float32), GATE)
    elif SOURCE == "group_normed":
        gate = load_rows(gate_ptr + token * GATE_TOKEN_STRIDE, 0, K, BLOCK)
        gate *= tl.sigmoid(gate)
        if GATE == "first":
            x = _group_norm(x * gate, weight_ptr, eps, HEAD_DIM, GATE_HEAD_STRIDE, K, BLOCK)
        else:
            x = _group_norm(x, weight_ptr, eps, HEAD_DIM, GATE_HEAD_STRIDE, K, BLOCK) * gate
    return x


@triton.jit
def _gate(gate, GATE: tl.constexpr):
    """Return what a gate multiplies by."""
    if GATE == "sigmoid":
        return tl.sigmoid(gate)
    if GATE == "softplus":
        # log(1 + e^g) = max(g, 0) + log(1 + e^-|g|) cannot overflow.
        return tl.maximum(gate, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(gate)))
    if GATE == "gelu_tanh":
        return gated_mul(gate, 1.0, GATE)
    return gate


@triton.jit
def _update(
    x,
    stream_ptr,
    post_weight_ptr,
    scalar_ptr,
    eps,
    factor,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add a row to the residual stream, write the stream and return it as it was rounded."""
    if post_weight_ptr is not None:
        x = _norm(x, post_weight_ptr, eps, PLUS_ONE, ROUND_FIRST, K, BLOCK)
    column = tl.arange(0, BLOCK)
    total = x * factor + load_rows(stream_ptr, 0, K, BLOCK)
    if scalar_ptr is not None:
        total *= tl.load(scalar_ptr).to(tl.float32)
    total = total.to(stream_ptr.dtype.element_ty)
    tl.store(stream_ptr + column, total, column < K)
    return total.to(tl.float32)


@triton.jit
def _group_norm(
    x,
    weight_ptr,
    eps,
    SIZE: tl.constexpr,
    PERIOD: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the norm of groups of ``SIZE`` neighbours; the weight repeats after ``PERIOD``."""
    column = tl.arange(0, BLOCK)
    weight = tl.load(weight_ptr + column % PERIOD, column < K, 0.0).to(tl.float32)
    groups = tl.reshape(x, (BLOCK // SIZE, SIZE))
    groups *= tl.rsqrt(tl.sum(groups * groups, 1) * (1.0 / SIZE) + eps)[:, None]
    return tl.reshape(groups, (BLOCK,)) * weight


@triton.jit
def _norm(
    x,
    weight_ptr,
    eps,
    PLUS_ONE: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    x *= tl.rsqrt(tl.sum(x * x) * (1.0 / K) + eps)
    if weight_ptr is None:
        return x
    weight = load_rows(weight_ptr, 0, K, BLOCK)
    if PLUS_ONE:
        weight += 1.0
    if ROUND_FIRST:
        x = x.to(weight_ptr.dtype.element_ty).to(tl.float32)
    return x * weight
