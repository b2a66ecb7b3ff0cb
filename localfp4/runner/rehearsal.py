"""Which kernels a model will launch, found by running its outline on every size of step.

The outline's tensors have no memory, so that this needs no weights, and nothing is guessed: what
is compiled from this list is what generation will ask for.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.kv_groups import kv_groups
from localfp4.models.spec import DecoderSpec
from localfp4.runner.collect import ROWS
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.propose import in_first_group
from localfp4.runner.rehearse_sampling import sampling_launches
from localfp4.runner.work import Work
from localfp4_kernels.launch import Launch, recorded

_META = torch.device("meta")

_BESIDE_PROMPTS = (1, 3, 9, 33)
"""Sequences that decode beside a prompt: some of each range of sizes that mixtures tell apart."""

_MANY_PAGES = 64
"""Of a context long enough for attention to be split over programs."""


def rehearse(outline: Decoder, kv_dtype: str, max_batch: int, max_step_tokens: int) -> list[Launch]:
    """Return the launches of all steps, one for each specialisation.

    Args:
        outline: The decoder on the ``meta`` device, with kernels to run.
        kv_dtype: Type of the KV cache.
        max_batch: Most rows that decode together: sequences, times one and the drafts of each.
        max_step_tokens: Most tokens in one step.
    """
    steps = _Rehearsal(outline, kv_dtype)
    for pages in (1, _MANY_PAGES):
        steps.sweep(max_batch, partial(_decoding, pages))
    # Rows of decoding sequences begin or end in the middle of what a step beside a prompt computes.
    for sequences in _BESIDE_PROMPTS:
        steps.run(_mixed(min(sequences, max_batch)))
    if outline.spec.is_recurrent:
        # Rows that follow each other in a sequence are taken out of the step, turn by turn.
        steps.sweep(max(max_batch // 2, 1), _checking)
    for start in (0, PAGE_SIZE):
        steps.sweep(max_step_tokens, partial(_prefilling, start))
    found = steps.found
    for launch in sampling_launches(outline.spec.vocab_size, outline.execution.running):
        found.setdefault(launch.specialisation, launch)
    return list(found.values())


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
    rehearsal = _Rehearsal(outline, kv_dtype)
    for work in steps:
        rehearsal.run(work)
    return list(rehearsal.found.values())


class _Rehearsal:
    """Runs steps of an outline, and keeps one launch of each specialisation.

    Attributes:
        found: By specialisation.
    """

    def __init__(self, outline: Decoder, kv_dtype: str) -> None:
        self.found: dict[Hashable, Launch] = {}
        self._groups = len(kv_groups(outline.spec))
        self._has_states = outline.spec.is_recurrent
        caches = allocate_caches(
            outline.spec,
            [1] * self._groups,
            kv_dtype,
            _META,
            slots=1,
            state_dtype=outline.dtype,
            for_kernels=True,
        )
        kept = _distinct_layers(outline)
        if len(kept) < len(outline.layers):
            # The first reads the embedding; layers like it also read the sum with another's result.
            kept.append(kept[0])
        self._short = replace(outline, layers=tuple(outline.layers[index] for index in kept))
        self._caches = tuple(caches[index] for index in kept)
        self._head_caches = () if outline.mtp is None else _head_caches(outline.spec, kv_dtype)

    @torch.inference_mode()
    def run(self, work: Sequence[Work]) -> frozenset[Hashable]:
        """Run a step and return the specialisations that it launches."""
        work = [_fitted(item, self._groups, self._has_states) for item in work]
        with recorded() as launches:
            batch = prepare(work, _META)
            hidden = self._short.forward(batch, self._caches)
            if self._short.mtp is not None:
                self._short.draft(hidden, batch, self._head_caches)
            self._short.logits(hidden if work[0].is_decode else hidden[:ROWS])
        launched = {launch.specialisation: launch for launch in launches}
        self.found |= launched
        return frozenset(launched)

    def sweep(self, most: int, step: Callable[[int], Sequence[Work]]) -> None:
        """Run steps of sizes up to ``most`` until none between two of them could differ.

        Kernels have ranges of sizes that end at or next to powers of two, or move with the size in
        one direction: where two sizes launch the same, so do those between them.
        """
        powers = [2**power for power in range(most.bit_length())]
        sizes = sorted({1, 3, *powers, *(power + 1 for power in powers), most})
        sizes = [size for size in sizes if size <= most]
        launched = {size: self.run(step(size)) for size in sizes}
        gaps = list(pairwise(sizes))
        while gaps:
            low, high = gaps.pop()
            if high - low > 1 and launched[low] != launched[high]:
                middle = (low + high) // 2
                launched[middle] = self.run(step(middle))
                gaps += [(low, middle), (middle, high)]


def _head_caches(spec: DecoderSpec, kv_dtype: str) -> tuple[Cache, ...]:
    """Return the caches of a head for multi-token prediction, whose scales nobody calibrated."""
    head = replace(spec, layers=spec.mtp, mtp=())
    dtype = "fp8" if kv_dtype == "fp8-static" else kv_dtype
    sizes = [1] * len(kv_groups(head))
    return in_first_group(allocate_caches(head, sizes, dtype, _META, for_kernels=True))


def _fitted(item: Work, groups: int, has_states: bool) -> Work:
    """Give a share of work the same pages in every KV group, and a slot where one is needed."""
    return replace(item, pages=[*item.pages] * groups, slot=0 if has_states else None)


def _decoding(pages: int, sequences: int) -> list[Work]:
    return [_decode(pages)] * sequences


def _mixed(sequences: int) -> list[Work]:
    return [*_decoding(1, sequences), _prompt(PAGE_SIZE, start=0)]


def _checking(sequences: int) -> list[Work]:
    item = _decode(pages=1)
    return [replace(item, pages=[[0, 0]], drafts=(0,))] * sequences


def _prefilling(start: int, tokens: int) -> list[Work]:
    return [_prompt(tokens, start)]


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
