"""Writing new keys and values into the paged cache."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.kv import INTEGERS, WIDE_TYPES, checked_cache
from localfp4_kernels.attention.paged_view import CacheScale
from localfp4_kernels.checks import check_tensor
from localfp4_kernels.formats.e4m3 import encode_e4m3
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_E4M3_LARGEST = tl.constexpr(448.0)
_SMALLEST_AMAX = tl.constexpr(1e-30)
"""Vectors of smaller numbers are stored as zeros."""


@triton.jit
def unit_of_vectors(amax, scale_ptr, slot, static_scale, SCALES: tl.constexpr):
    """Return what to multiply vectors by before they are stored, and store their scales.

    Args:
        amax: Largest magnitude of each vector.
        scale_ptr: Scales per token and head, or ``None``.
        slot: Place of each vector in the cache.
        static_scale: The scale of all vectors, where they share one.
        SCALES: ``none``, ``tensor`` or ``token``.
    """
    if SCALES == "token":
        tl.store(scale_ptr + slot, amax / _E4M3_LARGEST)
        return _E4M3_LARGEST / tl.maximum(amax, _SMALLEST_AMAX)
    return 1.0 / static_scale  # which is 1 where there are no scales


@triton.jit
def store_cached(pointers, x, mask, SCALES: tl.constexpr, HARDWARE: tl.constexpr):
    """Store scaled numbers in the type of the cache."""
    if SCALES == "none":
        tl.store(pointers, x, mask=mask)
    else:
        tl.store(pointers, encode_e4m3(x, HARDWARE), mask=mask)


@triton.jit
def _write_kernel(
    k_ptr,
    v_ptr,
    k_cache_ptr,
    v_cache_ptr,
    k_scale_ptr,
    v_scale_ptr,
    page_ptr,
    offset_ptr,
    k_factor,
    v_factor,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PAGE: tl.constexpr,
    SCALES: tl.constexpr,
    HARDWARE: tl.constexpr,
):
    """Store the key and the value of one token and head."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    page = tl.load(page_ptr + token).to(tl.int64)
    slot = (page * KV_HEADS + head) * PAGE + tl.load(offset_ptr + token)
    dim = tl.arange(0, BLOCK_D)
    place = (token * KV_HEADS + head) * D + dim
    k = tl.load(k_ptr + place, mask=dim < D, other=0).to(tl.float32)
    v = tl.load(v_ptr + place, mask=dim < D, other=0).to(tl.float32)
    k *= unit_of_vectors(tl.max(tl.abs(k), 0), k_scale_ptr, slot, k_factor, SCALES)
    v *= unit_of_vectors(tl.max(tl.abs(v), 0), v_scale_ptr, slot, v_factor, SCALES)
    store_cached(k_cache_ptr + slot * D + dim, k, dim < D, SCALES, HARDWARE)
    store_cached(v_cache_ptr + slot * D + dim, v, dim < D, SCALES, HARDWARE)


def plan_write_kv(
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
    *,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    target: Target,
) -> Plan[None]:
    """Plan :func:`write_kv`."""
    check_tensor("k", k, ("T", "Hkv", "D"), WIDE_TYPES)
    check_tensor("v", v, k.shape, k.dtype, like=k)
    cache = checked_cache(k_cache, v_cache, k_scale, v_scale, k.shape[1], k.shape[2], k)
    check_tensor("pages", pages, (k.shape[0],), INTEGERS, like=k)
    check_tensor("offsets", offsets, (k.shape[0],), INTEGERS, like=k)
    launch = Launch(
        _write_kernel,
        (k.shape[0], cache.kv_heads),
        {
            "k_ptr": k,
            "v_ptr": v,
            **cache.arguments(),
            "page_ptr": pages,
            "offset_ptr": offsets,
            "k_factor": cache.k_factor,
            "v_factor": cache.v_factor,
        },
        cache.layout() | {"HARDWARE": target.has_fp8},
        num_warps=1,
    )
    return Plan((launch,), None)


def write_kv(
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
    *,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    target: Target,
) -> None:
    """Store the keys and values of T new tokens at their places, in place.

    Args:
        k: ``[T, Hkv, D]``, D a multiple of 16 up to 512.
        v: As ``k``.
        k_cache: ``[P, Hkv, 64, D]``, uint8 (bits of E4M3) or 16-bit.
        v_cache: As ``k_cache``.
        pages: int32 or int64 ``[T]``, the page of each token.
        offsets: int32 or int64 ``[T]``, its place within the page.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, 64]``, which receives a 448th of each
            vector's largest magnitude, or one number to divide all keys by.
        v_scale: As ``k_scale``.
        target: What runs it.

    Raises:
        ValueError: An argument is not as described.
    """
    plan_write_kv(
        k,
        v,
        k_cache,
        v_cache,
        pages,
        offsets,
        k_scale=k_scale,
        v_scale=v_scale,
        target=target,
    ).run()
