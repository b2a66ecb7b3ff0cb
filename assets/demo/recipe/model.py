"""The network that is trained: Qwen3's architecture in plain torch, with fused projections.

It knows tensors only: no tokenizer, no files. `export.py` splits the fused projections into the
names that checkpoints use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; every input dimension is a multiple of 64, as NVFP4 kernels want."""

    vocab: int = 2560
    hidden: int = 320
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 896
    rope_theta: float = 10000.0
    norm_eps: float = 1e-6
    max_positions: int = 1024


def parameter_count(shape: Shape) -> int:
    """Number of weights, the tied embedding once."""
    rows = (shape.heads + 2 * shape.kv_heads) * shape.head_dim + shape.heads * shape.head_dim
    layer = rows * shape.hidden + 3 * shape.ffn * shape.hidden + 2 * (shape.hidden + shape.head_dim)
    return shape.vocab * shape.hidden + shape.layers * layer + shape.hidden


class Block(nn.Module):
    """One decoder layer: attention with per-head q/k norms, then SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        q_rows, kv_rows = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.input_norm = nn.Parameter(torch.ones(shape.hidden))
        self.post_norm = nn.Parameter(torch.ones(shape.hidden))
        self.q_norm = nn.Parameter(torch.ones(shape.head_dim))
        self.k_norm = nn.Parameter(torch.ones(shape.head_dim))
        self.qkv = nn.Parameter(torch.empty(q_rows + 2 * kv_rows, shape.hidden))
        self.out = nn.Parameter(torch.empty(shape.hidden, q_rows))
        self.gate_up = nn.Parameter(torch.empty(2 * shape.ffn, shape.hidden))
        self.down = nn.Parameter(torch.empty(shape.hidden, shape.ffn))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """The residual stream after this layer, [B, T, hidden]."""
        x = x + self.attend(self.norm(x, self.input_norm), cos, sin, mask)
        gate_up = F.linear(self.norm(x, self.post_norm), self.gate_up.to(x.dtype))
        gate, up = gate_up.chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down.to(x.dtype))

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """Causal attention within what the mask allows."""
        shape = self.shape
        batch, length, _ = x.shape
        heads = F.linear(x, self.qkv.to(x.dtype)).view(batch, length, -1, shape.head_dim)
        q, k, v = heads.transpose(1, 2).split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        q = rotate(self.norm(q, self.q_norm), cos, sin)
        k = rotate(self.norm(k, self.k_norm), cos, sin)
        groups = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return F.linear(mixed.transpose(1, 2).reshape(batch, length, -1), self.out.to(x.dtype))

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMS norm over the last dimension."""
        return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), self.shape.norm_eps)


class Network(nn.Module):
    """Embeddings, the decoder layers and the tied output."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Parameter(torch.empty(shape.vocab, shape.hidden))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.Parameter(torch.ones(shape.hidden))
        self.initialise()

    def initialise(self) -> None:
        """Normal weights; what writes to the residual stream starts smaller."""
        depth_scale = (2 * self.shape.layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                spread = 0.02 if name == "embed" else weight.shape[1] ** -0.5
                residual = name.endswith((".out", ".down"))
                nn.init.normal_(weight, std=spread * (depth_scale if residual else 1.0))

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Final hidden states [B, T, hidden]; without a mask attention is causal."""
        cos, sin = (t.to(dtype) for t in rope_tables(self.shape, ids.shape[1]))
        x = F.embedding(ids, self.embed).to(dtype)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return F.rms_norm(x, (x.shape[-1],), self.final_norm.to(dtype), self.shape.norm_eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the vocabulary, by the tied embedding."""
        return F.linear(hidden, self.embed.to(hidden.dtype))


def rope_tables(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the positions, [length, head_dim]."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_theta**-steps)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding, halves of the head paired."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin
