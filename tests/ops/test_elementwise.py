"""Norm, rotation and gate against float64 and against transformers."""

import pytest
import torch
from torch.nn import functional
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

from localfp4_kernels.pointwise.gated_mul import silu_mul_torch
from localfp4_kernels.pointwise.rms_norm import rms_norm_torch
from localfp4_kernels.pointwise.rope import rope_angles_torch, rope_torch

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rms_norm_follows_float64(dtype: torch.dtype, scale: float) -> None:
    x, weight = (random(7, 48) * scale).to(dtype), (1 + random(48, seed=1) / 4).to(dtype)
    exact = x.double()
    exact = exact / (exact.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    ours = rms_norm_torch(x, weight, 1e-5)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), exact, rtol=2 * TOLERANCE[dtype], atol=1e-6)


def test_rms_norm_is_that_of_transformers() -> None:
    theirs = Qwen3RMSNorm(48, eps=1e-2)
    weight = 1 + random(48, seed=1) / 4
    theirs.weight.data.copy_(weight)
    x = random(7, 48)
    torch.testing.assert_close(
        rms_norm_torch(x, weight, 1e-2), theirs(x).detach(), rtol=1e-6, atol=1e-6
    )


def test_a_norm_per_head_normalises_each_head_alone() -> None:
    x, weight = random(5, 3, 16), 1 + random(3, 16, seed=1) / 4
    ours = rms_norm_torch(x, weight, 1e-6)
    for head in range(3):
        torch.testing.assert_close(
            ours[:, head], rms_norm_torch(x[:, head], weight[head], 1e-6), rtol=1e-6, atol=1e-6
        )


def test_rms_norm_of_zeros_is_zero() -> None:
    assert torch.equal(rms_norm_torch(torch.zeros(2, 8), torch.ones(8), 1e-6), torch.zeros(2, 8))


@pytest.mark.parametrize("factor", [1.0, 1.25])
def test_rotation_is_that_of_transformers(factor: float) -> None:
    q, k = random(9, 4, 16), random(9, 2, 16, seed=1)
    positions = torch.tensor([0, 1, 2, 63, 64, 65, 1000, 32767, 131071])
    frequencies = 1.0 / 10000.0 ** (torch.arange(0, 16, 2) / 16)
    angles = torch.outer(positions.float(), frequencies).repeat(1, 2)
    q_theirs, k_theirs = apply_rotary_pos_emb(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        (angles.cos() * factor)[None],
        (angles.sin() * factor)[None],
    )
    ours = rope_torch(
        torch.cat((q, k), 1), *rope_angles_torch(positions, frequencies, factor, torch.float32)
    )
    theirs = torch.cat((q_theirs, k_theirs), 1)[0].transpose(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_rotation_takes_a_slice_of_the_merged_projection() -> None:
    merged = random(3, 6, 8)
    angles = rope_angles_torch(
        torch.arange(3), torch.tensor([1.0, 0.5, 0.2, 0.1]), 1.0, merged.dtype
    )
    rotated = rope_torch(merged[:, :4], *angles)
    assert torch.equal(rotated, rope_torch(merged[:, :4].clone(), *angles))
    assert torch.equal(rotated[0], merged[0, :4]), "position 0 is not rotated"


def test_scores_depend_on_the_distance_alone() -> None:
    q, k = random(1, 1, 16).expand(4, 1, 16), random(1, 1, 16, seed=1).expand(4, 1, 16)
    frequencies = 1.0 / 10000.0 ** (torch.arange(0, 16, 2) / 16)

    def rotated(x: torch.Tensor, positions: list[int]) -> torch.Tensor:
        angles = rope_angles_torch(torch.tensor(positions), frequencies, 1.0, x.dtype)
        return rope_torch(x.contiguous(), *angles)

    scores = (rotated(q, [5, 6, 105, 1005]) * rotated(k, [0, 1, 100, 1000])).sum(-1).flatten()
    torch.testing.assert_close(scores, scores[:1].expand(4), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_silu_mul_follows_float64(dtype: torch.dtype) -> None:
    gate_up = (random(6, 40) * 8).to(dtype)
    gate, up = gate_up.double().split(20, -1)
    exact = gate / (1 + (-gate).exp()) * up
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(
        silu_mul_torch(gate_up).double(), exact, rtol=2 * tolerance, atol=tolerance
    )


def test_silu_mul_survives_large_gates() -> None:
    gate_up = torch.tensor([[1e4, -1e4, 2.0, 3.0]])
    assert silu_mul_torch(gate_up).tolist() == [[2e4, 0.0]]
    assert torch.equal(silu_mul_torch(gate_up), functional.silu(gate_up[:, :2]) * gate_up[:, 2:])
