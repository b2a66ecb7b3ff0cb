"""Choosing tokens: masked, greedy, free, and with all limits, bound by reading the logits.

python kernels/bench/sampler.py --match greedy
"""

import sys
from collections.abc import Iterator
from functools import partial

import torch
from _bench import Bench, Case, Result, run

from localfp4_kernels.sampling.choose import RowParams, choose_torch, plan_choose
from localfp4_kernels.sampling.greedy import choose_greedily_torch, plan_choose_greedily
from localfp4_kernels.sampling.mask import TokenMasks, mask_tokens_torch, plan_mask_tokens


def cases(bench: Bench) -> Iterator[Case]:
    for vocab in sorted({shape.vocab for shape in bench.models.values()}):
        for rows in bench.pick(1, 8, 64):
            words = f"{vocab} logits, rows {rows}"
            yield Case("mask_tokens", words, partial(_mask, bench, rows, vocab))
            yield Case("choose_greedily", words, partial(_greedy, bench, rows, vocab))
            for name, limits in LIMITS.items():
                yield Case(f"choose {name}", words, partial(_draw, bench, rows, vocab, limits))


LIMITS = {
    "freely": {},
    "top_p 0.95": {"top_p": 0.95},
    "top_k 20, top_p 0.95": {"top_k": 20, "top_p": 0.95},
}
"""The last are Qwen3's defaults."""


def _logits(bench: Bench, rows: int, vocab: int) -> torch.Tensor:
    """Return logits about as peaked as a model's."""
    return 4 * torch.randn(rows, vocab, device=bench.device)


def _mask(bench: Bench, rows: int, vocab: int) -> Result:
    logits = _logits(bench, rows, vocab)
    words = torch.randint(
        -(2**31), 2**31, (rows, -(-vocab // 32)), dtype=torch.int32, device=bench.device
    )
    masks = TokenMasks(torch.arange(rows, device=bench.device), words)
    expected = mask_tokens_torch(logits.clone(), masks)
    # Masking once more changes nothing, so that one tensor serves every repetition.
    plan = plan_mask_tokens(logits, masks, target=bench.target)
    error = float((plan.run() != expected).double().mean())
    beside = bench.others(torch=lambda: mask_tokens_torch(logits, masks))
    return bench.streamed(plan.run, 2 * logits.nbytes + words.nbytes, error, beside)


def _greedy(bench: Bench, rows: int, vocab: int) -> Result:
    logits = _logits(bench, rows, vocab)
    plan = plan_choose_greedily(logits, target=bench.target)
    error = _differ(plan.run().tokens, choose_greedily_torch(logits).tokens)
    beside = bench.others(torch=lambda: choose_greedily_torch(logits))
    return bench.streamed(plan.run, logits.nbytes, error, beside)


def _draw(bench: Bench, rows: int, vocab: int, limits: dict[str, float]) -> Result:
    logits = _logits(bench, rows, vocab)
    types = {"top_k": torch.int32, "top_p": torch.float32}
    params = RowParams(
        torch.full((rows,), 0.7, device=bench.device),
        torch.arange(rows, device=bench.device),
        torch.arange(rows, device=bench.device),
        **{
            name: torch.full((rows,), value, dtype=types[name], device=bench.device)
            for name, value in limits.items()
        },
    )
    plan = plan_choose(logits, params, target=bench.target)
    error = _differ(plan.run().tokens, choose_torch(logits, params).tokens)
    beside = bench.others(torch=lambda: choose_torch(logits, params))
    return bench.streamed(plan.run, logits.nbytes, error, beside)


def _differ(tokens: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the share of rows whose tokens differ."""
    return float((tokens != expected).double().mean())


if __name__ == "__main__":
    sys.exit(run(cases))
