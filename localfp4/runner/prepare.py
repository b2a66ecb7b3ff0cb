"""Turning a step's work into the tensors the decoder takes."""

import itertools
from collections.abc import Sequence

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.batch import (
    DecodeRound,
    ForwardBatch,
    PackedPrompts,
    PageTables,
    PrefillChunk,
    SequenceStates,
)
from localfp4.runner.work import Work
from localfp4_kernels.gated_delta.packing import PackedSequences


def prepare(work: Sequence[Work], device: torch.device) -> ForwardBatch:
    """Lay the step out row by row; decoding sequences must come first in ``work``."""
    token_ids: list[int] = []
    positions: list[int] = []
    prefills: list[PrefillChunk] = []
    for item in work:
        first_row = len(token_ids)
        token_ids += item.tokens[item.start : item.end]
        positions += range(item.start, item.end)
        if not item.is_decode:
            prefills.append(PrefillChunk(first_row, len(token_ids), item.end))
    decodes = [item for item in work if item.is_decode]
    position = torch.tensor(positions, dtype=torch.long, device=device)
    return ForwardBatch(
        token_ids=torch.tensor(token_ids, dtype=torch.long, device=device),
        positions=position,
        offsets=position % PAGE_SIZE,
        decodes=len(decodes),
        seq_lens=torch.tensor([item.end for item in decodes], dtype=torch.long, device=device),
        tables=tuple(_tables(work, group, device) for group in range(len(work[0].pages))),
        prefills=tuple(prefills),
        packed=_packed([item for item in work if not item.is_decode], device),
        states=_states(work, device),
    )


def _tables(work: Sequence[Work], group: int, device: torch.device) -> PageTables:
    """Return where the layers of a KV group find the step's keys and values."""
    prompts = [item for item in work if not item.is_decode]
    pages = [
        item.pages[group][place // PAGE_SIZE]
        for item in work
        for place in range(item.start, item.end)
    ]
    return PageTables(
        pages=torch.tensor(pages, dtype=torch.long, device=device),
        block_tables=_block_tables([item for item in work if item.is_decode], group, device),
        chunks=tuple(
            torch.tensor(item.pages[group][: _pages_for(item.end)], dtype=torch.long, device=device)
            for item in prompts
        ),
        prompts=_block_tables(prompts, group, device) if prompts else None,
    )


def _packed(prompts: Sequence[Work], device: torch.device) -> PackedPrompts | None:
    if not prompts:
        return None
    sizes = [item.end - item.start for item in prompts]
    starts = [0, *itertools.accumulate(sizes)]
    contexts = [item.start for item in prompts]
    return PackedPrompts(
        chunk_starts=torch.tensor(starts, dtype=torch.long, device=device),
        context_lens=torch.tensor(contexts, dtype=torch.long, device=device),
        longest=max(sizes),
        has_context=any(contexts),
    )


def _states(work: Sequence[Work], device: torch.device) -> SequenceStates | None:
    """Return where recurrent layers find what the sequences carry along."""
    if any(item.slot is None for item in work):
        return None
    prompts = [item for item in work if not item.is_decode]
    lengths = [item.end - item.start for item in prompts]
    return SequenceStates(
        rounds=(DecodeRound(None, _slots([item for item in work if item.is_decode], device)),),
        prompt_slots=_slots(prompts, device),
        continues=torch.tensor([item.start > 0 for item in prompts], device=device),
        packed=PackedSequences.of(lengths, device) if prompts else None,
    )


def _slots(items: Sequence[Work], device: torch.device) -> torch.Tensor:
    return torch.tensor([item.slot for item in items], dtype=torch.int32, device=device)


def _block_tables(decodes: Sequence[Work], group: int, device: torch.device) -> torch.Tensor:
    """Return the pages of each sequence, padded with its own first page."""
    width = max((_pages_for(item.end) for item in decodes), default=0)
    tables = []
    for item in decodes:
        used = list(item.pages[group][: _pages_for(item.end)])
        tables.append(used + used[:1] * (width - len(used)))
    return torch.tensor(tables, dtype=torch.long, device=device).view(len(decodes), width)


def _pages_for(tokens: int) -> int:
    return -(-tokens // PAGE_SIZE)
