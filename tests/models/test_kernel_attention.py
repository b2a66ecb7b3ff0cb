"""Every column of attention through the kernels (interpreted without a GPU), against plain torch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.attention import Angles, Attend, Attention, temperature_of
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import LayerCache
from localfp4.models.linear import DenseLinear
from localfp4.models.norm import Norm
from localfp4.models.rope import rope_frequencies
from localfp4.models.spec import AttentionSpec, RopeSpec, TemperatureSpec
from localfp4.models.torch_attention import TorchAttention
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work
from localfp4_kernels.device import target_of
from localfp4_kernels.pointwise.rope import rope_angles_torch

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPE = torch.bfloat16 if torch.cuda.is_available() else torch.float32
EXACT = 2e-2 if torch.cuda.is_available() else 1e-3
"""Largest relative error through kernels that multiply in 16 bits."""

HIDDEN = 32
PLAIN = AttentionSpec(
    heads=4, kv_heads=2, head_dim=16, scale=0.25, rope=RopeSpec(16, 500.0), qk_norm="head"
)

COLUMNS: dict[str, AttentionSpec] = {
    "sinks": replace(PLAIN, sinks=True, window=6, qk_norm=None, qkv_bias=True, out_bias=True),
    "soft cap": replace(PLAIN, soft_cap=0.3),
    "query gate": replace(PLAIN, gate="query", rope=RopeSpec(8, 500.0)),
    "keys are values": replace(PLAIN, keys_are_values=True, value_norm=True, kv_heads=1),
    "shared keys": replace(PLAIN, shares_kv_of=0, value_norm=True, window=6),
}
MORE_COLUMNS: dict[str, AttentionSpec] = {
    "temperature": replace(PLAIN, temperature=TemperatureSpec(0.5, 3)),
    "head gate": replace(PLAIN, gate="head"),
    "element gate": replace(PLAIN, gate="element"),
    "full norms": replace(PLAIN, qk_norm="full"),
    "wide heads": replace(PLAIN, heads=2, kv_heads=1, head_dim=512, rope=RopeSpec(512, 500.0)),
}


def attention(spec: AttentionSpec, attend: Attend) -> Attention:
    """Return attention with random weights, which depend on nothing but the spec."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, mean: float = 0.0) -> torch.Tensor:
        noise = torch.randn(shape, generator=generator) * (0.25 if mean else shape[-1] ** -0.5)
        return (noise + mean).to(DEVICE, DTYPE)

    def linear(rows: int, columns: int, bias: bool) -> DenseLinear:
        return DenseLinear(random(rows, columns), random(rows) if bias else None)

    query, key = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    inputs = query * (2 if spec.gate == "query" else 1)
    if spec.shares_kv_of is None:
        inputs += key * (1 if spec.keys_are_values else 2)
    rows = spec.heads if spec.shares_kv_of is not None else spec.heads + spec.kv_heads
    norms = torch.cat(
        (
            random(1, spec.head_dim, mean=1).expand(spec.heads, -1),
            random(1, spec.head_dim, mean=1).expand(spec.kv_heads, -1),
        )
    )
    gates = {"head": spec.heads, "element": query}
    return Attention(
        spec=spec,
        qkv=linear(inputs, HIDDEN, spec.qkv_bias),
        out=linear(HIDDEN, query, spec.out_bias),
        head_norm=Norm(norms[:rows].contiguous(), 1e-6) if spec.qk_norm == "head" else None,
        full_norms=(
            (Norm(random(query, mean=1), 1e-6), Norm(random(key, mean=1), 1e-6))
            if spec.qk_norm == "full"
            else None
        ),
        norm_eps=1e-6,
        gate=linear(gates[spec.gate], HIDDEN, bias=False) if spec.gate in gates else None,
        sinks=random(spec.heads).float() if spec.sinks else None,
        attend=attend,
    )


def steps() -> Iterator[tuple[torch.Tensor, ForwardBatch]]:
    """Yield two prompts side by side, then a token after one beside the rest of the other."""
    generator = torch.Generator().manual_seed(1)
    long, short = [[1]], [[2]]
    for works in (
        [
            Work([0] * 11, 0, 11, long, is_decode=False, draw=None),
            Work([0] * 9, 0, 9, short, is_decode=False, draw=None),
        ],
        [
            Work([0] * 10, 9, 10, short, is_decode=True, draw=None),
            Work([0] * 16, 11, 16, long, is_decode=False, draw=None),
        ],
    ):
        batch = prepare(works, DEVICE)
        yield (
            torch.randn(len(batch.token_ids), HIDDEN, generator=generator).to(DEVICE, DTYPE),
            batch,
        )


def pages(spec: AttentionSpec, dtype: torch.dtype) -> LayerCache:
    shape = (3, spec.kv_heads, PAGE_SIZE, spec.head_dim)
    k, v = (torch.zeros(shape, dtype=dtype, device=DEVICE) for _ in range(2))
    if dtype != torch.uint8:
        return LayerCache(k, v)
    k_scale, v_scale = (torch.zeros(shape[:3], device=DEVICE) for _ in range(2))
    return LayerCache(k, v, k_scale, v_scale)


def run(spec: AttentionSpec, attend: Attend, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    """Return what attention gives in all steps; an owner of shared keys goes before."""
    cache = pages(spec, dtype)
    modules = [attention(spec, attend)]
    if spec.shares_kv_of is not None:
        modules.insert(0, attention(replace(spec, shares_kv_of=None), attend))
    outs = []
    frequencies = rope_frequencies(spec.rope, DEVICE)
    for x, batch in steps():
        angles = Angles(
            {spec.rope: rope_angles_torch(batch.positions, frequencies, 1.0, DTYPE)},
            {}
            if spec.temperature is None
            else {spec.temperature: temperature_of(spec.temperature, batch.positions)},
        )
        for module in modules:
            out = module.forward(x, batch, cache, angles)
        outs.append(out.float())
    return torch.cat(outs)


@pytest.fixture(scope="module")
def kernels() -> Attend:
    from localfp4.models.kernel_attention import KernelAttention

    return KernelAttention(target_of(DEVICE))


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    "spec",
    [
        *(pytest.param(spec, id=name) for name, spec in COLUMNS.items()),
        *(pytest.param(s, id=name, marks=pytest.mark.slow) for name, s in MORE_COLUMNS.items()),
    ],
)
def test_kernels_compute_what_torch_does(kernels: Attend, spec: AttentionSpec) -> None:
    expected = run(spec, TorchAttention())
    assert error(run(spec, kernels), expected) < EXACT


def test_shared_keys_in_8_bits(kernels: Attend) -> None:
    spec = COLUMNS["shared keys"]
    expected = run(spec, TorchAttention())
    assert EXACT < error(run(spec, kernels, torch.uint8), expected) < 0.05


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sinks", {"window": 7}),
        ("soft cap", {"soft_cap": 0.31}),
        ("keys are values", {"value_norm": False}),
        ("shared keys", {"window": 7}),
        ("temperature", {"temperature": TemperatureSpec(0.5, 4)}),
    ],
)
def test_a_difference_shows(name: str, changes: dict[str, Any]) -> None:
    """The negative control: the tolerance sees a small mistake."""
    right = (COLUMNS | MORE_COLUMNS)[name]
    wrong = replace(right, **changes)
    assert error(run(wrong, TorchAttention()), run(right, TorchAttention())) > 3 * EXACT
