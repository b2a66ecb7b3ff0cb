"""The rotation is FP-Quant's and the kernels', and is undone by itself."""

import pytest
import torch

from localfp4.quantize.rounding.rotation import hadamard, rotate
from localfp4_kernels.formats.torch_hadamard import HADAMARD_BLOCKS, hadamard_torch

CPU = torch.device("cpu")


@pytest.mark.parametrize("block", HADAMARD_BLOCKS)
def test_by_definition(block: int) -> None:
    places = range(block)
    signs = [[(-1.0) ** (row & column).bit_count() for column in places] for row in places]
    expected = torch.tensor(signs, dtype=torch.float64) * block**-0.5
    torch.testing.assert_close(hadamard(block, CPU, torch.float64), expected)


@pytest.mark.parametrize("block", HADAMARD_BLOCKS)
def test_products_are_undone_in_float64(block: int) -> None:
    torch.manual_seed(block)
    x, weight = torch.randn(2, 7, 256).double(), torch.randn(12, 256).double()
    turned = rotate(x, block)
    assert (turned - x).abs().max() > 0.1
    assert (rotate(turned, block) - x).abs().max() < 1e-14
    product = turned @ rotate(weight, block).T
    assert (product - x @ weight.T).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", HADAMARD_BLOCKS)
def test_as_kernels_rotate(block: int, dtype: torch.dtype) -> None:
    x = torch.randn(3, 256).to(dtype)
    found = rotate(x, block)
    assert found.dtype == dtype
    expected = hadamard_torch(x.float(), block)
    tolerance = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}[dtype]
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=1e-5)


def test_none() -> None:
    x = torch.randn(3, 40)
    assert rotate(x, 0) is x
