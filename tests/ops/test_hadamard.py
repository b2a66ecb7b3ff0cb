"""The rotation of activations against its matrix."""

import math

import pytest
import torch

from localfp4_kernels.formats.torch_hadamard import HADAMARD_BLOCKS, hadamard_torch
from localfp4_kernels.linear.produce import produce
from localfp4_kernels.linear.quantize_fp4 import ToNvfp4
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.pointwise.hadamard import hadamard
from localfp4_kernels.target import Target
from tests.ops import oracles


def matrix(block: int) -> torch.Tensor:
    """Sylvester's matrix from its definition, float64."""
    signs = [
        [(-1) ** (row & column).bit_count() for column in range(block)] for row in range(block)
    ]
    return torch.tensor(signs, dtype=torch.float64) / math.sqrt(block)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("block", HADAMARD_BLOCKS)
def test_every_block_is_multiplied_by_the_matrix(
    block: int, device: torch.device, target: Target
) -> None:
    x = random(2, 3 * block)
    rotated = hadamard(x.to(device), block, target=target)
    exact = (x.double().unflatten(1, (-1, block)) @ matrix(block)).flatten(1)
    torch.testing.assert_close(rotated.cpu().double(), exact, rtol=0, atol=2e-6)
    assert torch.equal(rotated.cpu(), hadamard_torch(x, block))


def test_rotating_twice_changes_nothing() -> None:
    x = random(3, 5, 64)
    torch.testing.assert_close(hadamard_torch(hadamard_torch(x, 32), 32), x)


def test_tokens_are_rotated_before_they_are_quantised(device: torch.device, target: Target) -> None:
    x = random(2, 256)
    x[:, 17] = 100.0
    rotated = produce(Rows(x.to(device)), ToNvfp4(), hadamard=128, target=target)
    restored = oracles.fp4_matrix(rotated.packed, rotated.scale, rotated.token_scale)
    exact = (x.double().unflatten(1, (-1, 128)) @ matrix(128)).flatten(1)
    assert (restored - exact).norm() < 0.15 * exact.norm()


@pytest.mark.parametrize(
    ("block", "width", "message"),
    [
        (8, 64, r"hadamard must be one of \(16, 32, 64, 128\), not 8"),
        (64, 96, "width of rotated tokens must be a positive multiple of 64, not 96"),
    ],
)
def test_blocks_that_do_not_fit_are_named(
    block: int, width: int, message: str, target: Target
) -> None:
    with pytest.raises(ValueError, match=message):
        produce(Rows(torch.zeros(1, width)), ToNvfp4(), hadamard=block, target=target)
