"""Divergences and their gradients, against float64 and automatic differentiation of the whole."""

import pytest
import torch

from localfp4.quantize.distilling import divergence as module
from localfp4.quantize.distilling.divergence import (
    divergence,
    divergence_gradient,
    mean_divergence,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_divergence_by_hand() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4): 1/2 ln 2 + 1/2 ln 2/3.
    original = torch.zeros(1, 2)
    other = torch.tensor([[1.0, 3.0]]).log()
    assert divergence(original, other).item() == pytest.approx(0.1438410, abs=1e-6)
    assert divergence(other, other).item() == 0


@pytest.mark.parametrize("most", [2**26, 100])
def test_gradients_of_pieces_are_those_of_the_whole(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LOGITS", most)
    vocab, hidden, rows = 40, 8, 11
    theirs, head = drawn(vocab, hidden, seed=1), drawn(vocab, hidden, seed=2).requires_grad_()
    original, x = drawn(rows, hidden, seed=3), drawn(rows, hidden, seed=4)

    loss, gradient = divergence_gradient(
        original, x, lambda h: h @ theirs.T, lambda h: h @ head.T, vocab
    )

    wide = x.double().requires_grad_()
    wide_head = head.detach().double().requires_grad_()
    p = (original.double() @ theirs.double().T).softmax(-1)
    q = (wide @ wide_head.T).softmax(-1)
    expected = (p * (p.log() - q.log())).sum(-1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient.double(), wide.grad, atol=1e-6, rtol=1e-4)
    assert head.grad is not None
    torch.testing.assert_close(head.grad.double(), wide_head.grad, atol=1e-6, rtol=1e-4)
    mean = mean_divergence(original, x, lambda h: h @ theirs.T, lambda h: h @ head.T, vocab)
    assert mean == pytest.approx(expected.item(), rel=1e-5)
