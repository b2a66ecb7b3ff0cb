"""Which kernels choosing tokens will launch, whatever is asked for."""

from itertools import product
from typing import Any

import torch

from localfp4.config import SamplingParams
from localfp4.runner.kernel_sampler import KernelDraws, KernelSampler
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
        for params in _ways():
            for follows in (None, 0):
                row = DrawnRow(Draw(params, [0], 1, seed=0), 0, 1, follows=follows)
                numbers = Numbers()
                sampling = sampler.write(numbers, [row])
                logits = torch.empty(1, vocab, device=_META)
                sampling.run(logits, numbers.on_device(_META), before)
    return launches


def _ways() -> list[SamplingParams]:
    """Return parameters that between them give every kernel every argument it can have."""
    limits: list[dict[str, Any]] = [{"temperature": 0.0}]
    for top_k, top_p, min_p in product((0, 1), (1.0, 0.5), (0.0, 0.5)):
        limits.append({"top_k": top_k, "top_p": top_p, "min_p": min_p})
    changed = {"repetition_penalty": 2.0, "logit_bias": {0: 1.0}, "logprobs": 0}
    return [SamplingParams(**one) for one in (*limits, limits[0] | changed, limits[1] | changed)]
