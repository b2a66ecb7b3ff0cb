"""Which kernels a model will launch, found by running its outline on every size of step.

The outline's tensors have no memory, so that this needs no weights, and nothing is guessed: what
is compiled from this list is what generation will ask for.
"""

from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.decoder import Decoder
from localfp4.runner.kv_cache import allocate_kv_cache
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work
from localfp4_kernels.launch import Launch, recorded

_META = torch.device("meta")

_MANY_PAGES = 64
"""Of a context long enough for attention to be split over programs."""


def rehearse(outline: Decoder, kv_dtype: str, max_batch: int, max_step_tokens: int) -> list[Launch]:
    """Return the launches of all steps, one for each specialisation.

    Args:
        outline: The decoder on the ``meta`` device, with kernels to run.
        kv_dtype: Type of the KV cache.
        max_batch: Most sequences that decode together.
        max_step_tokens: Most tokens in one step.
    """
    short = _with_distinct_layers(outline)
    caches = allocate_kv_cache(short.spec, 1, kv_dtype, _META, for_kernels=True)
    found: dict[Hashable, Launch] = {}
    with torch.inference_mode():
        for work in _steps(max_batch, max_step_tokens):
            with recorded() as launches:
                short.logits(short.forward(prepare(work, _META), caches))
            found |= {launch.specialisation: launch for launch in launches}
    return list(found.values())


def _steps(max_batch: int, max_step_tokens: int) -> Iterator[list[Work]]:
    """Yield steps of all sizes that kernels tell apart."""
    for sequences in _sizes(max_batch):
        yield [_decode(pages=1)] * sequences
        yield [_decode(pages=_MANY_PAGES)] * sequences
    for tokens in _sizes(max_step_tokens):
        yield [_prompt(tokens, start=0)]
        yield [_prompt(tokens, start=PAGE_SIZE)]


def _sizes(most: int) -> Iterator[int]:
    """Yield sizes up to ``most`` so close that none of a kernel's ranges of sizes is missed.

    The ranges of few tokens are narrow; all others are wider than 8, and than 64 from 128 on.
    """
    spaced = {*range(1, 17), *range(24, 128, 8), *range(128, most, 64), most}
    beyond = {size + 1 for size in spaced if size >= 16}
    yield from sorted(size for size in spaced | beyond if size <= most)


def _decode(pages: int) -> Work:
    end = pages * PAGE_SIZE
    return Work([0] * end, end - 1, end, [0] * pages, is_decode=True, draw=None)


def _prompt(tokens: int, start: int) -> Work:
    end = start + tokens
    pages = [0] * -(-end // PAGE_SIZE)
    return Work([0] * end, start, end, pages, is_decode=False, draw=None)


def _with_distinct_layers(decoder: Decoder) -> Decoder:
    """Return a decoder of the layers that differ in more than their values."""
    distinct = {
        (spec, _structure(layer)): (spec, layer)
        for spec, layer in zip(decoder.spec.layers, decoder.layers, strict=True)
    }
    specs, layers = zip(*distinct.values(), strict=True)
    return replace(decoder, spec=replace(decoder.spec, layers=specs), layers=layers)


def _structure(value: Any) -> Hashable:
    """Return what a layer's launches depend on: types and shapes, not values."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape)
    if is_dataclass(value):
        return tuple(_structure(getattr(value, field.name)) for field in fields(value))
    return value if isinstance(value, Hashable) else repr(value)
