"""From the merged projection to attention: norm, rotation, and writing the cache, in one launch."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.kv import INTEGERS, WIDE_TYPES, checked_cache
from localfp4_kernels.attention.paged_view import CacheScale
from localfp4_kernels.attention.qkv_layout import PLAIN, Heads, Layout
from localfp4_kernels.attention.rotated_heads import full_rms, rotated_heads
from localfp4_kernels.attention.torch_write_kv import write_kv_torch
from localfp4_kernels.attention.write_kv import store_cached, unit_of_vectors
from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.pointwise.rope import rope_torch
from localfp4_kernels.target import Target


@triton.jit
def _rope_write_kernel(
    qkv_ptr,
    cos_ptr,
    sin_ptr,
    q_weight_ptr,
    k_weight_ptr,
    q_factor_ptr,
    page_ptr,
    offset_ptr,
    k_cache_ptr,
    v_cache_ptr,
    k_scale_ptr,
    v_scale_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    eps,
    k_factor,
    v_factor,
    ROW: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_GROUP: tl.constexpr,
    ROTATED: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    FULL_NORM: tl.constexpr,
    V_NORM: tl.constexpr,
    Q_STRIDE: tl.constexpr,
    KEYS_ARE_VALUES: tl.constexpr,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PAGE: tl.constexpr,
    SCALES: tl.constexpr,
    HARDWARE: tl.constexpr,
):
    """Handle one token's key head, its value head and the query heads that share them."""
    token = tl.program_id(0).to(tl.int64)
    kv_head = tl.program_id(1)
    HEADS: tl.constexpr = KV_HEADS * GROUP
    dim = tl.arange(0, BLOCK_D)
    inside = dim < D
    cos = tl.load(cos_ptr + token * ROTATED + dim, mask=dim < ROTATED, other=1).to(tl.float32)
    sin = tl.load(sin_ptr + token * ROTATED + dim, mask=dim < ROTATED, other=0).to(tl.float32)
    qkv_ptr += token * ROW

    k_start: tl.constexpr = HEADS * Q_STRIDE
    v_start: tl.constexpr = k_start if KEYS_ARE_VALUES else k_start + KV_HEADS * D
    q_inverse, k_inverse = 1.0, 1.0
    if FULL_NORM:
        q_inverse = full_rms(qkv_ptr, eps, HEADS * D)
        k_inverse = full_rms(qkv_ptr + k_start, eps, KV_HEADS * D)

    member = tl.arange(0, BLOCK_GROUP)
    head = kv_head * GROUP + member
    q = rotated_heads(
        qkv_ptr, head, member < GROUP, q_weight_ptr, q_inverse, cos, sin, eps,
        D, Q_STRIDE, BLOCK_D, ROTATED, PLUS_ONE, FULL_NORM,
    )  # fmt: skip
    if q_factor_ptr is not None:
        q *= tl.load(q_factor_ptr + token)
    place = (token * HEADS + head)[:, None] * D + dim[None, :]
    tl.store(q_ptr + place, q, mask=(member < GROUP)[:, None] & inside[None, :])

    one = tl.arange(0, 1)
    k = rotated_heads(
        qkv_ptr + k_start, kv_head + one, one == 0, k_weight_ptr, k_inverse, cos, sin, eps,
        D, D, BLOCK_D, ROTATED, PLUS_ONE, FULL_NORM,
    )  # fmt: skip
    k = tl.sum(k, 0)
    v = tl.load(qkv_ptr + v_start + kv_head * D + dim, mask=inside, other=0)
    v = v.to(tl.float32)
    if V_NORM:
        v *= tl.rsqrt(tl.sum(v * v, 0) / D + eps)
    fresh = (token * KV_HEADS + kv_head) * D + dim
    tl.store(k_ptr + fresh, k, mask=inside)
    tl.store(v_ptr + fresh, v, mask=inside)

    page = tl.load(page_ptr + token).to(tl.int64)
    slot = (page * KV_HEADS + kv_head) * PAGE + tl.load(offset_ptr + token)
    k *= unit_of_vectors(tl.max(tl.abs(k), 0), k_scale_ptr, slot, k_factor, SCALES)
    v *= unit_of_vectors(tl.max(tl.abs(v), 0), v_scale_ptr, slot, v_factor, SCALES)
    store_cached(k_cache_ptr + slot * D + dim, k, inside, SCALES, HARDWARE)
    store_cached(v_cache_ptr + slot * D + dim, v, inside, SCALES, HARDWARE)


def plan_qk_rope_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
    *,
    layout: Layout = PLAIN,
    q_weight: torch.Tensor | None = None,
    k_weight: torch.Tensor | None = None,
    q_factor: torch.Tensor | None = None,
    plus_one: bool = False,
    v_norm: bool = False,
    eps: float = 1e-6,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    fresh_dtype: torch.dtype | None = None,
    target: Target,
) -> Plan[Heads]:
    """Plan :func:`qk_rope_write`."""
    check_tensor("qkv", qkv, ("T", "N"), WIDE_TYPES, contiguous=False)
    cache = checked_cache(k_cache, v_cache, k_scale, v_scale, "Hkv", "D", qkv)
    tokens, row = qkv.shape[0], qkv.stride(0)
    kv_heads, dim = cache.kv_heads, cache.dim
    heads = layout.query_heads(qkv.shape[1], kv_heads, dim)
    if qkv.stride(1) != 1:
        raise ValueError(f"qkv must have contiguous rows; its strides are {list(qkv.stride())}")
    check_tensor("cos", cos, (tokens, 1, "R"), WIDE_TYPES, like=qkv)
    check_tensor("signed_sin", signed_sin, cos.shape, cos.dtype, like=qkv)
    rotated = cos.shape[2]
    if rotated % 2 or not 0 < rotated <= dim:
        raise ValueError(f"cos must be even and at most {dim} wide, not {rotated}")
    if (q_weight is None) != (k_weight is None):
        raise ValueError("q_weight and k_weight must be given together")
    full_norm = q_weight is not None and q_weight.dim() == 2
    for name, weight, count in (("q_weight", q_weight, heads), ("k_weight", k_weight, kv_heads)):
        if weight is not None:
            shape = (count, dim) if full_norm else (dim,)
            check_tensor(name, weight, shape, WIDE_TYPES, like=qkv)
    if full_norm and layout.gated:
        raise ValueError("q_weight must be [D] where gates lie between the heads")
    if q_factor is not None:
        check_tensor("q_factor", q_factor, (tokens,), torch.float32, like=qkv)
    check_tensor("pages", pages, (tokens,), INTEGERS, like=qkv)
    check_tensor("offsets", offsets, (tokens,), INTEGERS, like=qkv)
    fresh = fresh_dtype or qkv.dtype
    out = Heads(
        qkv.new_empty((tokens, heads, dim)),
        qkv.new_empty((tokens, kv_heads, dim), dtype=fresh),
        qkv.new_empty((tokens, kv_heads, dim), dtype=fresh),
    )
    group = heads // kv_heads
    block_group = triton.next_power_of_2(group)
    launch = Launch(
        _rope_write_kernel,
        (tokens, kv_heads),
        {
            "qkv_ptr": qkv,
            "cos_ptr": cos,
            "sin_ptr": signed_sin,
            "q_weight_ptr": q_weight,
            "k_weight_ptr": k_weight,
            "q_factor_ptr": q_factor,
            "page_ptr": pages,
            "offset_ptr": offsets,
            **cache.arguments(),
            "q_ptr": out.q,
            "k_ptr": out.k,
            "v_ptr": out.v,
            "eps": eps,
            "k_factor": cache.k_factor,
            "v_factor": cache.v_factor,
        },
        {
            "ROW": row,
            "GROUP": group,
            "BLOCK_GROUP": block_group,
            "ROTATED": rotated,
            "PLUS_ONE": plus_one,
            "FULL_NORM": full_norm,
            "V_NORM": v_norm,
            "Q_STRIDE": 2 * dim if layout.gated else dim,
            "KEYS_ARE_VALUES": layout.keys_are_values,
            "HARDWARE": target.has_fp8,
            **cache.layout(),
        },
        num_warps=4 if block_group * dim >= 512 else 1,
    )
    return Plan((launch,), out)


def qk_rope_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
    *,
    layout: Layout = PLAIN,
    q_weight: torch.Tensor | None = None,
    k_weight: torch.Tensor | None = None,
    q_factor: torch.Tensor | None = None,
    plus_one: bool = False,
    v_norm: bool = False,
    eps: float = 1e-6,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    fresh_dtype: torch.dtype | None = None,
    target: Target,
) -> Heads:
    """Normalise and rotate queries and keys, and store keys and values in the cache.

    Everything is computed in float32 and rounded once.

    Args:
        qkv: ``[T, (Hq + 2 Hkv) D]``, queries, keys and values of the merged projection, or what
            ``layout`` says; rows may lie apart.
        cos: ``[T, 1, R]`` of :func:`localfp4_kernels.pointwise.rope.rope_angles_torch`; the
            dimensions behind R are not rotated.
        signed_sin: As ``cos``.
        k_cache: ``[P, Hkv, 64, D]``, uint8 (bits of E4M3) or 16-bit, written in place.
        v_cache: As ``k_cache``.
        pages: int32 or int64 ``[T]``, the page of each token.
        offsets: int32 or int64 ``[T]``, its place within the page.
        layout: What lies in a row of ``qkv``.
        q_weight: ``[D]``, of the RMS norm of every query head; ``[Hq, D]`` of one norm of all of
            them together (OLMo 2); ``None`` for no norm.
        k_weight: As ``q_weight``, of the key heads.
        q_factor: float32 ``[T]``, multiplies a token's rotated queries.
        plus_one: Whether the norms multiply by ``1 + w`` (Gemma).
        v_norm: Whether values are RMS-normalised too, without a weight (Gemma 4).
        eps: Of the norms.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, 64]``, which receives a 448th of each
            vector's largest magnitude, or one number to divide all keys by.
        v_scale: As ``k_scale``.
        fresh_dtype: Type of the returned keys and values; ``None`` for that of ``qkv``.
        target: What runs it.

    Raises:
        ValueError: An argument is not as described.
    """
    return plan_qk_rope_write(
        qkv,
        cos,
        signed_sin,
        k_cache,
        v_cache,
        pages,
        offsets,
        layout=layout,
        q_weight=q_weight,
        k_weight=k_weight,
        q_factor=q_factor,
        plus_one=plus_one,
        v_norm=v_norm,
        eps=eps,
        k_scale=k_scale,
        v_scale=v_scale,
        fresh_dtype=fresh_dtype,
        target=target,
    ).run()


def qk_rope_write_torch(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
    *,
    layout: Layout = PLAIN,
    q_weight: torch.Tensor | None = None,
    k_weight: torch.Tensor | None = None,
    q_factor: torch.Tensor | None = None,
    plus_one: bool = False,
    v_norm: bool = False,
    eps: float = 1e-6,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    fresh_dtype: torch.dtype | None = None,
) -> Heads:
    """Do what :func:`qk_rope_write` does; all arguments as there."""
    kv_heads, dim = k_cache.shape[1], k_cache.shape[3]
    count = layout.query_heads(qkv.shape[1], kv_heads, dim)
    each = 2 * dim if layout.gated else dim
    q = qkv[:, : count * each].unflatten(1, (count, each))[..., :dim].float()
    rest = qkv[:, count * each :].unflatten(1, (-1, dim)).float()
    k, v = rest[:, :kv_heads], rest[:, -kv_heads:]
    turned = []
    for x, weight in ((q, q_weight), (k, k_weight)):
        if weight is not None and weight.dim() == 2:
            flat = weight.float().flatten() + plus_one
            x = torch.rms_norm(x.flatten(1), flat.shape, flat, eps).unflatten(1, (-1, dim))
        elif weight is not None:
            x = torch.rms_norm(x, (dim,), weight.float() + plus_one, eps)
        turned.append(rope_torch(x.contiguous(), cos.float(), signed_sin.float()))
    q, k = turned
    if q_factor is not None:
        q = q * q_factor[:, None, None]
    if v_norm:
        v = torch.rms_norm(v, (dim,), None, eps)
    write_kv_torch(k, v, k_cache, v_cache, pages, offsets, k_scale=k_scale, v_scale=v_scale)
    fresh = fresh_dtype or qkv.dtype
    return Heads(q.to(qkv.dtype), k.to(fresh), v.to(fresh))
