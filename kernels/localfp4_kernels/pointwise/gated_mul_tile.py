"""Activation functions of feed-forward networks on values that a kernel holds."""

import triton
import triton.language as tl


@triton.jit
def gated_mul(gate, up, GATE: tl.constexpr):
    """Return the gated product of float32 halves of any shape."""
    if GATE == "gelu_tanh":
        # (1 + tanh(z)) / 2 = sigmoid(2 z), with 2 z = sqrt(8 / pi) (g + 0.044715 g^3). The cube grows
        # so fast that exp(-2 z) would overflow for gates a model does have.
        twice = 1.5957691216 * (gate + 0.044715 * gate * gate * gate)
        return gate * tl.sigmoid(tl.maximum(twice, -80.0)) * up
    if GATE == "swiglu_oai":
        gate = tl.minimum(gate, 7.0)
        up = tl.minimum(tl.maximum(up, -7.0), 7.0)
        return gate * tl.sigmoid(1.702 * gate) * (up + 1.0)
    return gate * tl.sigmoid(gate) * up


@triton.jit
def relu2(x):
    """Return ``relu(x)^2`` of float32 values of any shape."""
    positive = tl.maximum(x, 0.0)
    return positive * positive
