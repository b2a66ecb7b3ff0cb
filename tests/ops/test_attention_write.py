"""Writing the cache, with and without norm and rotation, against their definitions in float64."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.attention.qk_rope_write import (
    plan_qk_rope_write,
    qk_rope_write,
    qk_rope_write_torch,
)
from localfp4_kernels.attention.qkv_layout import Layout
from localfp4_kernels.attention.torch_write_kv import write_kv_torch
from localfp4_kernels.attention.write_kv import plan_write_kv, write_kv
from localfp4_kernels.pointwise.rope import rope_angles_torch
from localfp4_kernels.target import Target
from tests.ops import oracles

PAGES = 4
UNTOUCHED = 0x55


def empty_caches(kv_heads: int, dim: int, storage: str, device: torch.device) -> dict[str, Any]:
    shape = (PAGES, kv_heads, 64, dim)
    caches: dict[str, Any] = {}
    for name in "kv":
        if storage in ("token", "tensor"):
            caches[f"{name}_cache"] = torch.full(shape, UNTOUCHED, dtype=torch.uint8, device=device)
            caches[f"{name}_scale"] = (
                0.5 if storage == "tensor" else torch.full(shape[:3], -1.0, device=device)
            )
        else:
            dtype = getattr(torch, storage)
            caches[f"{name}_cache"] = torch.full(shape, UNTOUCHED, dtype=dtype, device=device)
    return caches


def places(tokens: int, generator: torch.Generator, device: torch.device) -> dict[str, Any]:
    slots = torch.randperm(PAGES * 64, generator=generator)[:tokens]
    return {"pages": (slots // 64).to(device), "offsets": (slots % 64).to(device)}


def check_stored(
    caches: dict[str, Any], name: str, at: dict[str, torch.Tensor], exact: torch.Tensor
) -> None:
    """Check what a cache holds of ``exact``, float64 ``[T, Hkv, D]``, and that the rest is left."""
    cache, scale = caches[f"{name}_cache"].cpu(), caches.get(f"{name}_scale")
    pages, offsets = at["pages"].cpu(), at["offsets"].cpu()
    untouched = torch.ones(PAGES, 64, dtype=torch.bool)
    untouched[pages, offsets] = False
    assert (cache.transpose(1, 2)[untouched] == UNTOUCHED).all()
    stored = cache.transpose(1, 2)[pages, offsets]
    if scale is None:
        torch.testing.assert_close(stored.double(), exact, rtol=2e-3, atol=1e-5)
        return
    scales = torch.tensor(0.5)
    if isinstance(scale, torch.Tensor):
        assert (scale.cpu().transpose(1, 2)[untouched] == -1).all()
        scales = scale.cpu().transpose(1, 2)[pages, offsets].unsqueeze(-1)
        amax = exact.abs().amax(-1, keepdim=True)
        torch.testing.assert_close(scales.double(), amax / 448, rtol=1e-5, atol=1e-30)
    # Three bits of mantissa, down to 2^-6; subnormals are multiples of 2^-9.
    limit = 448 * scales.double()
    wanted = exact.clamp(-limit, limit)
    error = (oracles.e4m3(stored) * scales.double() - wanted).abs()
    assert (
        error <= torch.maximum(wanted.abs() * 2**-4, scales.double() * 2**-10) * 1.001 + 1e-30
    ).all()


@pytest.mark.parametrize("storage", ["token", "tensor", "float16", "float32"])
@pytest.mark.parametrize(("kv_heads", "dim"), [(1, 64), (3, 80)])
def test_written_tokens_lie_where_they_were_sent(
    device: torch.device, target: Target, storage: str, kv_heads: int, dim: int
) -> None:
    generator = torch.Generator().manual_seed(dim)
    k, v = torch.randn(2, 5, kv_heads, dim, generator=generator)
    k[0], v[1] = 0.0, 1e-38
    v[2] *= 1e4
    k[3, :, 0] = 1e4
    at = places(5, generator, device)
    ours, reference = (empty_caches(kv_heads, dim, storage, device) for _ in range(2))
    write_kv(k.to(device), v.to(device), **at, **ours, target=target)
    write_kv_torch(k.to(device), v.to(device), **at, **reference)
    for caches in (ours, reference):
        check_stored(caches, "k", at, k.double())
        check_stored(caches, "v", at, v.double())


def exact_heads(
    x: torch.Tensor, angles: torch.Tensor | None, weight: torch.Tensor | None, eps: float
) -> torch.Tensor:
    """Normalise ``[T, H, D]`` and rotate pairs ``(i, i + R/2)`` as complex numbers."""
    x = x.double()
    if weight is not None:
        x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.double()
    if angles is None:
        return x
    half = angles.shape[-1]
    pairs = torch.complex(x[..., :half], x[..., half : 2 * half])
    turned = pairs * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    return torch.cat((turned.real, turned.imag, x[..., 2 * half :]), dim=-1)


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.integers(1, 4),
    kv_heads=st.integers(1, 2),
    group=st.sampled_from([1, 2, 3, 8]),
    dim_and_rotated=st.sampled_from([(16, 16), (64, 64), (64, 16), (80, 80), (80, 48), (96, 2)]),
    storage=st.sampled_from(["token", "tensor", "float16", "float32"]),
    norm=st.sampled_from(["none", "plain", "plus one"]),
    v_norm=st.booleans(),
    apart=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_norm_rotation_and_cache(
    device: torch.device,
    target: Target,
    tokens: int,
    kv_heads: int,
    group: int,
    dim_and_rotated: tuple[int, int],
    storage: str,
    norm: str,
    v_norm: bool,
    apart: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    dim, rotated = dim_and_rotated
    heads = kv_heads * group
    rows = torch.randn(tokens, (heads + 2 * kv_heads) * dim + 16 * apart, generator=generator)
    qkv = rows.to(device)[:, : (heads + 2 * kv_heads) * dim]
    positions = torch.randint(0, 200, (tokens,), generator=generator)
    frequencies = torch.rand(rotated // 2, generator=generator)
    cos, sin = rope_angles_torch(positions, frequencies, 1.0, torch.float32)
    weights = torch.randn(2, dim, generator=generator)
    options: dict[str, Any] = {"v_norm": v_norm, "eps": 1e-5}
    if norm != "none":
        options |= {"q_weight": weights[0].to(device), "k_weight": weights[1].to(device)}
        options["plus_one"] = norm == "plus one"
    at = places(tokens, generator, device)
    ours, reference = (empty_caches(kv_heads, dim, storage, device) for _ in range(2))
    at |= {"cos": cos.to(device), "signed_sin": sin.to(device)}
    got = qk_rope_write(qkv, **at, **ours, **options, fresh_dtype=torch.float16, target=target)
    expected = qk_rope_write_torch(qkv, **at, **reference, **options, fresh_dtype=torch.float16)

    exact_angles = positions.double().unsqueeze(-1) * frequencies.double()
    q, k, v = qkv.cpu().unflatten(1, (-1, dim)).split((heads, kv_heads, kv_heads), dim=1)
    used = weights + 1 if norm == "plus one" else weights
    exact = (
        exact_heads(q, exact_angles, None if norm == "none" else used[0], 1e-5),
        exact_heads(k, exact_angles, None if norm == "none" else used[1], 1e-5),
        exact_heads(v, None, torch.ones(dim) if v_norm else None, 1e-5),
    )
    assert [x.dtype for x in got] == [torch.float32, torch.float16, torch.float16]
    for result in (got, expected):
        # Angles near 200 have 4e-6 of float32's rounding in them.
        torch.testing.assert_close(result.q.cpu().double(), exact[0], rtol=1e-5, atol=2e-4)
        torch.testing.assert_close(result.k.cpu().double(), exact[1], rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(result.v.cpu().double(), exact[2], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(got.q, expected.q, rtol=1e-5, atol=1e-5)
    if storage == "float32":
        for name in ("k_cache", "v_cache"):
            torch.testing.assert_close(ours[name], reference[name], rtol=1e-5, atol=1e-5)
        check_stored(ours, "v", at, exact[2])
    if storage in ("token", "tensor"):
        check_stored(ours, "v", at, exact[2])
        check_stored(reference, "v", at, exact[2])


@pytest.mark.parametrize(
    ("gated", "keys_are_values", "full_norm"),
    [(True, False, False), (False, True, False), (False, False, True), (True, True, False)],
)
def test_other_layouts_of_a_row(
    device: torch.device, target: Target, gated: bool, keys_are_values: bool, full_norm: bool
) -> None:
    """What a merged projection holds, against the same heads laid out plainly."""
    generator = torch.Generator().manual_seed(2)
    tokens, heads, kv_heads, dim = 3, 6, 2, 48
    each = 2 * dim if gated else dim
    width = heads * each + kv_heads * dim * (1 if keys_are_values else 2)
    qkv = torch.randn(tokens, width, generator=generator)
    q = qkv[:, : heads * each].unflatten(1, (heads, each))[..., :dim]
    rest = qkv[:, heads * each :].unflatten(1, (-1, dim))
    k, v = rest[:, :kv_heads], rest[:, -kv_heads:]
    positions = torch.tensor([3, 70, 9])
    frequencies = torch.rand(dim // 2, generator=generator)
    cos, sin = rope_angles_torch(positions, frequencies, 1.0, torch.float32)
    angles = positions.double().unsqueeze(-1) * frequencies.double()
    factor = torch.rand(tokens, generator=generator)
    if full_norm:
        weights = [torch.randn(n, dim, generator=generator) for n in (heads, kv_heads)]
        exact = [
            exact_heads(normed.unflatten(1, (-1, dim)), angles, None, 1e-5)
            for normed in (
                exact_heads(x.flatten(1), None, w.flatten(), 1e-5)
                for x, w in zip((q, k), weights, strict=True)
            )
        ]
    else:
        weights = [torch.randn(dim, generator=generator) for _ in range(2)]
        exact = [exact_heads(x, angles, w, 1e-5) for x, w in zip((q, k), weights, strict=True)]
    at = places(tokens, generator, device) | {"cos": cos.to(device), "signed_sin": sin.to(device)}
    options: dict[str, Any] = {
        "layout": Layout(gated, keys_are_values),
        "q_weight": weights[0].to(device),
        "k_weight": weights[1].to(device),
        "q_factor": factor.to(device),
        "eps": 1e-5,
    }
    caches = [empty_caches(kv_heads, dim, "float32", device) for _ in range(2)]
    qkv = qkv.to(device)
    for got in (
        qk_rope_write(qkv, **at, **caches[0], **options, target=target),
        qk_rope_write_torch(qkv, **at, **caches[1], **options),
    ):
        wanted = exact[0] * factor.double()[:, None, None]
        torch.testing.assert_close(got.q.cpu().double(), wanted, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(got.k.cpu().double(), exact[1], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(got.v.cpu(), v.float(), rtol=0, atol=0)
    check_stored(caches[0], "v", at, v.double())


@pytest.mark.parametrize("storage", ["token", "float16"])
def test_keys_are_stored_as_they_are_returned(
    device: torch.device, target: Target, storage: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    cos, sin = rope_angles_torch(torch.tensor([5, 9]), torch.rand(32), 1.0, torch.float32)
    at, caches = places(2, generator, device), empty_caches(1, 64, storage, device)
    qkv = torch.randn(2, 4 * 64, generator=generator).to(device)
    heads = qk_rope_write(qkv, cos.to(device), sin.to(device), **at, **caches, target=target)
    check_stored(caches, "k", at, heads.k.cpu().double())
    check_stored(caches, "v", at, heads.v.cpu().double())


def meta(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv": meta(2, 6 * 64 + 8)}, r"qkv must be \(Hq \+ 2 Hkv\) D wide"),
        ({"qkv": meta(2, 4 * 64)}, "Hq a multiple of 2"),
        ({"qkv": meta(8 * 64, 2).T}, "qkv must have contiguous rows"),
        ({"cos": meta(2, 1, 63), "signed_sin": meta(2, 1, 63)}, "cos must be even"),
        ({"cos": meta(2, 1, 66), "signed_sin": meta(2, 1, 66)}, "at most 64 wide, not 66"),
        ({"signed_sin": meta(2, 1, 32)}, "signed_sin must be"),
        ({"q_weight": meta(64)}, "q_weight and k_weight must be given together"),
        ({"q_weight": meta(64), "k_weight": meta(32)}, "k_weight must be"),
        ({"pages": meta(3, dtype=torch.int64)}, "pages must be"),
        ({"offsets": meta(2)}, "offsets must be int32 or int64"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "qkv": meta(2, 8 * 64),
        "cos": meta(2, 1, 64),
        "signed_sin": meta(2, 1, 64),
        "k_cache": meta(5, 2, 64, 64),
        "v_cache": meta(5, 2, 64, 64),
        "pages": meta(2, dtype=torch.int64),
        "offsets": meta(2, dtype=torch.int64),
    } | changes
    with pytest.raises(ValueError, match=message):
        plan_qk_rope_write(**arguments, target=Target(89, 128))


def test_values_must_match_keys() -> None:
    cache = meta(5, 2, 64, 64)
    places = meta(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="v must be"):
        plan_write_kv(
            meta(3, 2, 64), meta(3, 2, 32), cache, cache, places, places, target=Target(89, 128)
        )
