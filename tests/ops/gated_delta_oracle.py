"""Gated DeltaNet token by token in float64, from its definition alone."""

import torch

from localfp4_kernels.gated_delta.gates import DeltaGates
from localfp4_kernels.gated_delta.heads import DeltaHeads


def recur(
    qkv: torch.Tensor, gates: DeltaGates, state: torch.Tensor, heads: DeltaHeads
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs ``[T, v_heads, v_dim]`` of one sequence, and the state after it."""
    rows, state = qkv.cpu().double(), state.cpu().double().clone()
    a, b, a_log, dt_bias = (
        x.cpu().double() for x in (gates.a, gates.b, gates.a_log, gates.dt_bias)
    )
    out = torch.zeros(len(rows), heads.v_heads, heads.v_dim, dtype=torch.float64)
    keys = heads.k_heads * heads.k_dim
    for t, row in enumerate(rows):
        for h in range(heads.v_heads):
            kh = h // (heads.v_heads // heads.k_heads)
            q = row[kh * heads.k_dim :][: heads.k_dim]
            k = row[keys + kh * heads.k_dim :][: heads.k_dim]
            v = row[2 * keys + h * heads.v_dim :][: heads.v_dim]
            q = q / (q.dot(q) + 1e-6).sqrt() / heads.k_dim**0.5
            k = k / (k.dot(k) + 1e-6).sqrt()
            rate = torch.logaddexp(a[t, h] + dt_bias[h], torch.zeros((), dtype=torch.float64))
            state[h] *= torch.exp(-a_log[h].exp() * rate)
            delta = (v - k @ state[h]) / (1 + torch.exp(-b[t, h]))
            state[h] += torch.outer(k, delta)
            out[t, h] = q @ state[h]
    return out, state
