"""Which kernels choosing tokens will launch, whatever is asked for."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from localfp4.config import SamplingParams
from localfp4.runner.guide import Masks
from localfp4.runner.kernel_draws import KernelDraws
from localfp4.runner.kernel_sampler import KernelSampler
from localfp4.runner.numbers import Numbers
from localfp4.runner.rows import DrawnRow
from localfp4.runner.work import Draw
from localfp4_kernels.launch import Launch, recorded
from localfp4_kernels.target import Target

_META = torch.device("meta")


@torch.inference_mode()
def sampling_launches(vocab: int, target: Target) -> list[Launch]:
    """Return the launches of every way of choosing tokens from logits of a width."""
    sampler = KernelSampler(target)
    before = KernelDraws((), torch.empty(1, dtype=torch.int64, device=_META))
    with recorded() as launches:
        for row in _rows(vocab):
            numbers = Numbers()
            sampling = sampler.write(numbers, [row])
            logits = torch.empty(1, vocab, device=_META)
            sampling.run(logits, numbers.on_device(_META), before)
    return launches


def _rows(vocab: int) -> Iterator[DrawnRow]:
    """Yield rows that between them are drawn in every way, alone and after an unknown token."""
    for params in _ways():
        for follows in (None, 0):
            yield DrawnRow(Draw(params, [0], 1, seed=0), 0, 1, follows=follows)
    guided = Draw(SamplingParams(), [0], 1, seed=0, guide=_Anything(vocab))
    yield DrawnRow(guided, 0, 1)


def _ways() -> list[SamplingParams]:
    """Return parameters that between them give every kernel every argument it can have."""
    limits: list[dict[str, Any]] = [{"temperature": 0.0}]
    for top_k, top_p, min_p in product((0, 1), (1.0, 0.5), (0.0, 0.5)):
        limits.append({"top_k": top_k, "top_p": top_p, "min_p": min_p})
    changed = {"repetition_penalty": 2.0, "logit_bias": {0: 1.0}, "logprobs": 0}
    return [SamplingParams(**one) for one in (*limits, limits[0] | changed, limits[1] | changed)]


class _Anything:
    """A guide after whom every token may come."""

    def __init__(self, vocab: int) -> None:
        self._words = -(-vocab // 32)

    @property
    def failure(self) -> None:
        """Nothing ever fails."""

    def accept(self, token: int) -> None:
        """Take in any token."""

    def allowed(self, drafts: Sequence[int]) -> int:
        """Allow all guesses."""
        return len(drafts)

    def masks(self, drafts: Sequence[int]) -> Masks:
        """Return masks with every bit set."""
        return np.full((1 + len(drafts), self._words), 2**32 - 1, np.uint32)
