"""Masks of tokens that may not come, against sets of the tokens that may."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from localfp4_kernels.sampling.choose import RowParams, choose, choose_torch
from localfp4_kernels.sampling.greedy import choose_greedily
from localfp4_kernels.sampling.mask import TokenMasks, mask_tokens, mask_tokens_torch
from localfp4_kernels.sampling.on_host import mask_on_host

LOWEST = torch.finfo(torch.float32).min
SEVERAL_PROGRAMS = 4999
"""Three programs a row, the last of them ragged."""


def words_of(allowed: set[int], vocab: int, spare: bool) -> list[int]:
    """Return the words of a mask, bit by bit; ``spare`` sets those of tokens that do not exist."""
    words = [0] * -(-vocab // 32)
    for token in allowed | (set(range(vocab, len(words) * 32)) if spare else set()):
        words[token // 32] |= 1 << token % 32
    return words


def masks_of(
    allowed: dict[int, set[int]], vocab: int, device: torch.device, *, spare: bool = False
) -> TokenMasks:
    words = np.array([words_of(tokens, vocab, spare) for tokens in allowed.values()], np.uint32)
    rows = torch.tensor(list(allowed), device=device)
    return TokenMasks(rows, torch.from_numpy(words.view(np.int32)).to(device))


def on_host(logits: torch.Tensor, masks: TokenMasks) -> torch.Tensor:
    words = masks.words.cpu().numpy().view(np.uint32)
    changed = logits.cpu().numpy()
    for row, of_row in zip(masks.rows.tolist(), words, strict=True):
        mask_on_host(changed[row], of_row)
    return logits.copy_(torch.from_numpy(changed))


WAYS = [mask_tokens, mask_tokens_torch, on_host]


def random_sets(vocab: int, *rows: int) -> dict[int, set[int]]:
    stream = torch.Generator().manual_seed(vocab)
    chosen = {row: torch.randperm(vocab, generator=stream)[: 1 + vocab // 3] for row in rows}
    return {row: set(tokens.tolist()) for row, tokens in chosen.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("vocab", [1, 31, 32, 33, 97, 2048, SEVERAL_PROGRAMS])
def test_only_what_may_come_keeps_its_logit(device: torch.device, vocab: int, way: Any) -> None:
    logits = torch.randn(5, vocab, generator=torch.Generator().manual_seed(0))
    allowed = random_sets(vocab, 3, 0)
    allowed[4] = {vocab - 1}
    expected = logits.clone()
    for row, tokens in allowed.items():
        expected[row, [token for token in range(vocab) if token not in tokens]] = -torch.inf
    changed = logits.to(device, copy=True)
    for spare in (False, True):
        way(changed, masks_of(allowed, vocab, device, spare=spare))
        assert torch.equal(changed.cpu(), expected)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("way", WAYS)
def test_what_may_come_can_be_drawn_whatever_its_logit(device: torch.device, way: Any) -> None:
    allowed = {0: {3, 40}, 1: {3, 40}, 2: {3, 40}}
    logits = torch.full((3, 70), 5.0)
    logits[0, [3, 40]] = torch.tensor([torch.nan, -torch.inf])
    logits[1, [3, 40]] = torch.tensor([torch.nan, -1e30])
    logits[2] = torch.nan
    changed = logits.to(device)
    way(changed, masks_of(allowed, 70, device))
    assert changed[:, [3, 40]].tolist() == [
        [LOWEST, LOWEST],
        [LOWEST, pytest.approx(-1e30)],
        [LOWEST, LOWEST],
    ]
    assert choose_greedily(changed).tokens.tolist() == [3, 40, 3]
    limits = RowParams(
        torch.ones(3, device=device),
        torch.arange(3, device=device),
        torch.arange(3, device=device),
        top_k=torch.tensor([0, 5, 9], dtype=torch.int32, device=device),
    )
    drawing = choose if way is mask_tokens else choose_torch
    assert set(drawing(changed, limits).tokens.tolist()) <= {3, 40}


BAD: list[tuple[str, Any]] = [
    ("logits must be float32", lambda x, m: mask_tokens(x.double(), m)),
    ("logits must be contiguous", lambda x, m: mask_tokens(x.t().contiguous().t(), m)),
    ("masks.rows must be int64", lambda x, m: mask_tokens(x, replace(m, rows=m.rows.int()))),
    (
        "masks.words must be int32 \\[1, 3\\]",
        lambda x, m: mask_tokens(x, replace(m, words=m.words[:, :2].contiguous())),
    ),
    ("masks.words must be int32", lambda x, m: mask_tokens(x, replace(m, words=m.words.long()))),
]


@pytest.mark.parametrize(("message", "call"), BAD, ids=[message for message, _ in BAD])
def test_wrong_arguments_are_named(device: torch.device, message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 70, device=device), masks_of({1: {4}}, 70, device))


def test_nothing_to_mask_is_nothing_to_do(device: torch.device) -> None:
    logits = torch.randn(2, 40).to(device)
    before = logits.clone()
    nothing = TokenMasks(
        torch.empty(0, dtype=torch.int64, device=device),
        torch.empty(0, 2, dtype=torch.int32, device=device),
    )
    assert torch.equal(mask_tokens(logits, nothing), before)
