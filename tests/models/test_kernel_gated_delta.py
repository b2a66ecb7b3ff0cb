"""Gated DeltaNet through the kernels (interpreted without a GPU), against transformers."""

from pathlib import Path

import pytest
import torch

from localfp4.models.cache import StateCache
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.runner import Runner
from localfp4.runner.work import Collect, Work
from tests.models import tiny
from tests.models.test_kernel_families import DEVICE, DTYPE, EXACT, load

pytestmark = [pytest.mark.parity, *([pytest.mark.gpu] if torch.cuda.is_available() else [])]


def work(tokens: list[int], start: int, end: int, place: int) -> Work:
    is_decode = end == start + 1
    return Work(
        tokens, start, end, [[place]], is_decode, draw=None, collect=Collect.LOGITS, slot=place
    )


@pytest.mark.parametrize("name", ["qwen3_5", pytest.param("qwen3_next", marks=pytest.mark.slow)])
def test_kernels_compute_what_transformers_does(tmp_path: Path, name: str) -> None:
    """A prompt in two chunks, the second beside a token of another text."""
    model = tiny.build(name)
    decoder = load(tiny.save(model, tmp_path / "model"))
    caches = allocate_caches(
        decoder.spec, [3], DTYPE, DEVICE, slots=3, state_dtype=decoder.dtype, for_kernels=True
    )
    for cache in caches:
        if isinstance(cache, StateCache):
            cache.conv.fill_(torch.nan)
            cache.matrix.fill_(torch.nan)
    runner = Runner(decoder, caches, DEVICE)
    long, short = tiny.token_ids(21), tiny.token_ids(4, seed=1)
    first, second = runner.run([work(long, 0, 18, 1), work(short, 0, 3, 2)])
    one, rest = runner.run([work(short, 3, 4, 2), work(long, 18, 21, 1)])
    for ids, parts in ((long, (first, rest)), (short, (second, one))):
        logits = torch.cat([part.logits for part in parts if part.logits is not None])
        wanted = tiny.logits_of(model, ids)
        assert float((logits - wanted).norm() / wanted.norm()) < EXACT
