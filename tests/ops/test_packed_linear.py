"""Weights in oneDNN's layout."""

import pytest
import torch

from localfp4_kernels.linear.packed import pack_linear_torch, packed_linear_torch


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_agree_with_the_plain_layout(dtype: torch.dtype) -> None:
    weight = torch.randn(24, 40).to(dtype)
    packed = pack_linear_torch(weight)
    if packed is None:
        pytest.skip(f"oneDNN has no products of {dtype} here")
    x = torch.randn(3, 40).to(dtype)
    torch.testing.assert_close(packed_linear_torch(x, packed, None), x @ weight.T)


def test_a_cpu_without_bfloat16_keeps_the_plain_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reordering raises there (Intel's 12th generation and later, without AVX-512)."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert pack_linear_torch(torch.zeros(16, 16, dtype=torch.bfloat16)) is None


def test_gradients_are_those_of_the_plain_layout() -> None:
    weight = torch.randn(24, 40)
    packed = pack_linear_torch(weight.clone())
    if packed is None:
        pytest.skip("oneDNN has no products here")
    x, outer = torch.randn(3, 40, requires_grad=True), torch.randn(3, 24)
    packed_linear_torch(x, packed, None).backward(outer)
    torch.testing.assert_close(x.grad, outer @ weight)
