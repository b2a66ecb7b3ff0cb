"""Attention over plain tensors, with what models add to it."""

import torch
from torch.nn import functional


def dense_attention_torch(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    *,
    mask: torch.Tensor | None = None,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend with T queries to L keys.

    Args:
        q: ``[..., H, T, D]``.
        k: ``[..., H, L, D]``.
        v: As ``k``.
        scale: Multiplies the scores.
        mask: bool ``[T, L]``, true where a query may look; ``None`` lets it look everywhere.
        soft_cap: Logits become ``c tanh(x / c)`` (Gemma 2), before the mask.
        sinks: ``[H, T]`` or ``[H, 1]``, a logit that takes weight and gives no value (gpt-oss).

    Returns:
        ``[..., H, T, D]`` in the type of ``q``.
    """
    if soft_cap is None and sinks is None:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    logits = (q @ k.transpose(-1, -2)).float() * scale
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    if sinks is not None:
        sink = sinks.float().unsqueeze(-1).expand(*logits.shape[:-1], 1)
        logits = torch.cat((logits, sink), dim=-1)
    weights = logits.softmax(-1)[..., : k.shape[-2]]
    return weights.to(v.dtype) @ v
