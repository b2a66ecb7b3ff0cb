"""Drafts of a smaller model with the same vocabulary."""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from localfp4.models.batch import ForwardBatch, PageTables, PrefillChunk
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.drawn import DrawnStep
from localfp4.runner.graphs import CudaRecorder, DecodeGraphs, GraphSizes, RecordedStep
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import Scratch
from localfp4.runner.propose import Ends, in_first_group, spare_page, wanted_drafts


@dataclass(frozen=True, slots=True)
class DraftProposer:
    """Runs beside the model on the same tokens, and goes on alone from those that were drawn.

    Attributes:
        decoder: The smaller model.
        caches: Of its layers.
        vocab_size: Of the model that it drafts for. Beyond the tokens that both have, logits and
            embeddings may be padded to different widths.
        graphs: Its recorded steps; ``None`` where every kernel is launched by itself.
    """

    decoder: Decoder
    caches: tuple[Cache, ...]
    vocab_size: int
    graphs: DecodeGraphs | None = None

    def propose(self, step: DrawnStep) -> torch.Tensor:
        """Run the smaller model on the step and on what was drawn, then on its guesses."""
        count, spare, ends = wanted_drafts(step.work), spare_page(self.caches), Ends.of(step)
        if not count:
            self._run(_first_group(step.batch), slice(0, 0))
            return step.tokens.new_empty(len(step.rows), 0)
        more, first = ends.one_more(step.latest, 1, spare), step.batch.decodes
        drawn = slice(first, first + more.decodes)
        guesses = [self._run(_joined(ends, more, spare), drawn)]
        for ahead in range(2, count + 1):
            more = ends.one_more(guesses[-1], ahead, spare)
            guesses.append(self._run(more, slice(0, more.decodes)))
        return torch.stack(guesses, dim=1)

    def _run(self, batch: ForwardBatch, rows: slice) -> torch.Tensor:
        """Run the smaller model on a step; return what it says after some of the rows, ``[n]``."""
        known = self.decoder.spec.vocab_size
        if known < self.vocab_size:
            batch = replace(batch, token_ids=batch.token_ids.clamp_max(known - 1))
        recorded = None if self.graphs is None else _recorded(self.graphs, batch)
        if recorded is None:
            states = self.decoder.forward(batch, self.caches)[rows]
            if not len(states):
                return batch.token_ids[:0]
            logits = self.decoder.logits(states)
        else:
            _repeat(recorded, batch, spare_page(self.caches))
            logits = recorded.logits[rows]
        return logits[:, : self.vocab_size].argmax(-1)


def draft_proposer(
    decoder: Decoder,
    pages: int,
    dtype: str,
    device: torch.device,
    vocab_size: int,
    graphs: GraphSizes | None = None,
) -> DraftProposer:
    """Give a draft model its caches.

    Layers with a window have as many pages as the others, since there is one table for all.

    Args:
        decoder: The draft model.
        pages: Of the first KV group of the model that it drafts for.
        dtype: Of the caches, as in :func:`allocate_caches`.
        device: Where.
        vocab_size: Of the model that it drafts for.
        graphs: What its recorded steps have room for; ``None``, or a device that is no GPU,
            records nothing. Launched one by one, the kernels of a small model take Python longer
            than the step of a large one takes a GPU.
    """
    sizes = [pages] * len(kv_groups(decoder.spec))
    for_kernels = decoder.execution.target is not None
    caches = in_first_group(
        allocate_caches(decoder.spec, sizes, dtype, device, for_kernels=for_kernels)
    )
    steps = None
    if graphs is not None and device.type == "cuda":
        # One that gets wider steps than the model: the rows of all drafts, and of what was drawn.
        sizes_of_steps = replace(graphs, rows=2 * graphs.rows)
        scratch, record = Scratch((pages,), None), CudaRecorder(device)
        steps = DecodeGraphs(decoder, caches, scratch, device, sizes_of_steps, record)
    return DraftProposer(decoder, caches, vocab_size, steps)


def _recorded(graphs: DecodeGraphs, batch: ForwardBatch) -> RecordedStep | None:
    """Return the recorded step that has room for one that only decodes."""
    bucket = None if batch.prefills else graphs.sized(len(batch.token_ids))
    if bucket is None or batch.tables[0].block_tables.shape[1] > bucket.pages:
        return None
    return graphs.step(bucket)


def _repeat(recorded: RecordedStep, batch: ForwardBatch, spare: int) -> None:
    """Launch a recorded step with the tensors of another, its remaining rows out of the way."""
    target, count = recorded.batch, len(batch.token_ids)
    [theirs], [ours] = target.tables, batch.tables
    target.token_ids[:count].copy_(batch.token_ids)
    target.positions[:count].copy_(batch.positions)
    target.offsets[:count].copy_(batch.offsets)
    target.seq_lens[:count].copy_(batch.seq_lens)
    target.seq_lens[count:].fill_(1)
    theirs.pages[:count].copy_(ours.pages)
    theirs.pages[count:].fill_(spare)
    theirs.block_tables[:count, : ours.block_tables.shape[1]].copy_(ours.block_tables)
    recorded.repeat()


def _first_group(batch: ForwardBatch) -> ForwardBatch:
    """Return a step as a model without recurrent layers and with one table of pages takes it."""
    return replace(batch, tables=batch.tables[:1], states=None)


def _joined(ends: Ends, more: ForwardBatch, spare: int) -> ForwardBatch:
    """Return the rows of a step and the tokens drawn after them, which decode too.

    One pass over the weights serves both. Wrong drafts stand where the tokens do that were drawn
    instead, so that theirs are not the keys and values which are kept.
    """
    batch = _first_group(ends.step.batch)
    first, added = batch.decodes, more.decodes
    [table], [after] = batch.tables, more.tables

    def joined(rows: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        return torch.cat((rows[:first], new, rows[first:]))

    return replace(
        batch,
        token_ids=joined(batch.token_ids, more.token_ids),
        positions=joined(batch.positions, more.positions),
        offsets=joined(batch.offsets, more.offsets),
        decodes=first + added,
        seq_lens=torch.cat((batch.seq_lens, more.seq_lens)),
        tables=(
            PageTables(
                pages=joined(ends.kept_pages(spare), after.pages),
                block_tables=_stacked(table.block_tables, after.block_tables),
                chunks=table.chunks,
                prompts=table.prompts,
            ),
        ),
        prefills=tuple(
            PrefillChunk(chunk.start + added, chunk.end + added, chunk.seq_len)
            for chunk in batch.prefills
        ),
    )


def _stacked(tables: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
    """Return two block tables as one, as wide as the wider."""
    width = max(tables.shape[1], more.shape[1])
    return torch.cat([functional.pad(one, (0, width - one.shape[1])) for one in (tables, more)])
