"""Which kernels a model will launch, found by running its outline on every size of step.

The outline's tensors have no memory, so that this needs no weights, and nothing is guessed: what
is compiled from this list is what generation will ask for.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.decoder import Decoder
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.kv_cache import allocate_caches
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
    return launches_of(outline, kv_dtype, _steps(max_batch, max_step_tokens))


def a_step_of_each_kind() -> list[list[Work]]:
    """Return few steps that between them run every part of a model."""
    return [
        [_decode(pages=1)],
        [_decode(pages=_MANY_PAGES)] * 2,
        [_prompt(PAGE_SIZE, start=0)],
        [_prompt(PAGE_SIZE, start=PAGE_SIZE)],
    ]


def launches_of(outline: Decoder, kv_dtype: str, steps: Iterable[list[Work]]) -> list[Launch]:
    """Return the launches of some steps, one for each specialisation.

    Args:
        outline: The decoder on the ``meta`` device, with kernels to run.
        kv_dtype: Type of the KV cache.
        steps: What to run.
    """
    groups = len(kv_groups(outline.spec))
    caches = allocate_caches(
        outline.spec,
        [1] * groups,
        kv_dtype,
        _META,
        slots=1,
        state_dtype=outline.dtype,
        for_kernels=True,
    )
    kept = _distinct_layers(outline)
    short = replace(outline, layers=tuple(outline.layers[index] for index in kept))
    caches = tuple(caches[index] for index in kept)
    has_states = outline.spec.is_recurrent
    found: dict[Hashable, Launch] = {}
    with torch.inference_mode():
        for work in steps:
            work = [_fitted(item, groups, has_states) for item in work]
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


def _fitted(item: Work, groups: int, has_states: bool) -> Work:
    """Give a share of work the same pages in every KV group, and a slot where one is needed."""
    return replace(item, pages=[*item.pages] * groups, slot=0 if has_states else None)


def _decode(pages: int) -> Work:
    end = pages * PAGE_SIZE
    return Work([0] * end, end - 1, end, [[0] * pages], is_decode=True, draw=None)


def _prompt(tokens: int, start: int) -> Work:
    end = start + tokens
    pages = [[0] * -(-end // PAGE_SIZE)]
    return Work([0] * end, start, end, pages, is_decode=False, draw=None)


def _distinct_layers(decoder: Decoder) -> list[int]:
    """Return the indices of layers that differ in more than their values."""
    first: dict[Hashable, int] = {}
    for index, (spec, layer) in enumerate(zip(decoder.spec.layers, decoder.layers, strict=True)):
        first.setdefault((spec, _structure(layer)), index)
    return list(first.values())


def _structure(value: Any) -> Hashable:
    """Return what a layer's launches depend on: types and shapes, not values."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape)
    if is_dataclass(value):
        return tuple(_structure(getattr(value, field.name)) for field in fields(value))
    return value if isinstance(value, Hashable) else repr(value)
