"""Running one step of a model: work in, chosen tokens out. Knows nothing of requests or queues."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.execution import Execution
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.batch_sections import BatchSections
from localfp4.runner.collect import collect_logits, collect_scores, followers, scored_rows
from localfp4.runner.drawn import DraftSections, Proposer, write_drafts
from localfp4.runner.graphs import CudaRecorder, DecodeGraphs, GraphSizes, RecordedStep
from localfp4.runner.numbers import Numbers, Section
from localfp4.runner.outputs import Outputs
from localfp4.runner.page_io import PageIo
from localfp4.runner.prepare import Scratch, write_batch
from localfp4.runner.ranges import span
from localfp4.runner.residency import Residency
from localfp4.runner.rows import DrawnRow, drawn_rows, first_rows, rows_of
from localfp4.runner.sampler import HostSampler
from localfp4.runner.sampling import Draws, Sampler, Sampling
from localfp4.runner.slot_copies import SlotCopies
from localfp4.runner.step import Step, StepResult
from localfp4.runner.transfer import Transfer
from localfp4.runner.work import Collect, Work

__all__ = ["Runner", "Step", "StepResult", "on_device"]


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current one of this thread.

    Kernels are launched there, wherever their arguments are.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@dataclass(frozen=True, slots=True)
class _Written:
    """Where a step's numbers lie in its buffer.

    Attributes:
        size: Numbers of the batch; those of the rest come after them.
        batch: What the decoder takes.
        follows: Rows whose token is a draw of the step before, and which draw each is.
        rows: Those after which tokens are drawn.
        places: The same as indices; ``None`` where they are the first ones.
        sampling: How they are drawn.
        drafts: For whoever guesses what follows.
        followers: Of each item that collects scores, the tokens after its positions.
        recorded: The step that is repeated instead of launching kernel by kernel.
    """

    size: int
    batch: BatchSections
    follows: tuple[Section, Section] | None
    rows: Sequence[DrawnRow]
    places: Section | None
    sampling: Sampling
    drafts: DraftSections | None
    followers: Sequence[Section]
    recorded: RecordedStep | None

    def drawn(self, values: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
        """Return those of all rows after which tokens are drawn."""
        if self.places is None:
            return values[: len(self.rows)]
        return values.index_select(0, self.places.of(buffer))


class Runner:
    """A decoder with its cache.

    Attributes:
        decoder: The model.
        caches: One for each of its layers.
        device: Where both are.
        graphs: Its recorded steps; ``None`` where every kernel is launched by itself.
        pages: What moves pages and states to main memory and back.
        proposer: What guesses the tokens after those that are drawn.
        residency: What keeps the busiest experts on the device, where they do not all fit.
    """

    def __init__(
        self,
        decoder: Decoder,
        caches: tuple[Cache, ...],
        device: torch.device,
        *,
        graphs: GraphSizes | None = None,
        pages: PageIo | None = None,
        proposer: Proposer | None = None,
        residency: Residency | None = None,
    ) -> None:
        """Make a runner.

        Args:
            decoder: The model.
            caches: One for each of its layers, as ``allocate_caches`` returns them.
            device: Where both are.
            graphs: What recorded steps have room for; ``None``, or a device that is no GPU,
                records nothing.
            pages: What :meth:`move` uses.
            proposer: Called after every step.
            residency: Told of every step.
        """
        self.decoder = decoder
        self.caches = caches
        self.device = device
        self.pages = pages
        self.proposer = proposer
        self.residency = residency
        self._scratch = Scratch.of(caches, len(kv_groups(decoder.spec)))
        self._slots = SlotCopies(caches)
        self._sampler = _sampler_for(decoder.execution)
        self._drawn: Draws | None = None
        self.graphs: DecodeGraphs | None = None
        if graphs is not None and device.type == "cuda":
            with on_device(device):
                self.graphs = DecodeGraphs(
                    decoder, caches, self._scratch, device, graphs, CudaRecorder(device)
                )

    def run(self, work: Sequence[Work]) -> list[StepResult]:
        """Process every item of ``work``; decoding sequences must come first."""
        return self.launch(work).results()

    @torch.inference_mode()
    def launch(self, work: Sequence[Work]) -> Step:
        """Begin to process every item of ``work``; decoding sequences must come first.

        Where it raises, the states that the items were changing are lost, and nothing else.
        """
        with on_device(self.device):
            step = self._launch(work)
            if self.residency is not None:
                self.residency.after_step()
            return step

    def move(self, transfers: Sequence[Transfer]) -> None:
        """Queue copies between the caches and main memory, before the next step.

        Raises:
            ValueError: There are transfers and no memory was set aside.
        """
        if not transfers:
            return
        if self.pages is None:
            raise ValueError("this runner keeps no pages in main memory")
        with on_device(self.device):
            self.pages.move(transfers)

    @torch.inference_mode()
    def record(self, sequences: int = 1, rows: int = 1) -> None:
        """Record the step that so many sequences of so many rows take, where steps are recorded."""
        if self.graphs is None:
            return
        bucket = self.graphs.bucket_of([rows] * sequences)
        if bucket is not None:
            with on_device(self.device):
                self.graphs.step(bucket)

    def release_memory(self) -> None:
        """Give back to the device what no tensor uses."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _launch(self, work: Sequence[Work]) -> Step:
        with span("prepare"):
            written, buffer = self._write(work)
        with span("forward"):
            self._slots.copy((item.restore, item.slot) for item in work)
            batch, hidden, logits = self._forward(written, buffer)
            self._slots.copy((item.slot, item.snapshot) for item in work)
        with span("sample"):
            draws = written.sampling.run(logits, buffer, self._drawn)
            tensors, self._drawn = list(draws.tensors), draws
        if self.proposer is not None and written.drafts is not None:
            with span("propose"):
                drawn = written.drafts.drawn(work, batch, hidden, draws.tokens, buffer)
                tensors.append(self.proposer.propose(drawn))
        with span("fetch"):
            tensors += self._scores(work, written.followers, hidden, buffer)
            return Step(
                work,
                Outputs(tensors, self.device),
                drawn=len(draws.tensors),
                read=draws.read,
                has_guesses=self.proposer is not None,
                logits=self._collected(work, hidden),
            )

    def _write(self, work: Sequence[Work]) -> tuple[_Written, torch.Tensor]:
        """Write down everything the step depends on, and send it to the device as one buffer."""
        recorded, bucket = None, None if self.graphs is None else self.graphs.bucket(work)
        if self.graphs is not None and bucket is not None:
            recorded = self.graphs.step(bucket)
        if recorded is None:
            bucket = None
        known = () if self._drawn is None else self._drawn.known
        numbers = Numbers()
        batch = write_batch(numbers, work, self._scratch, bucket, known)
        size = len(numbers.values)
        rows = drawn_rows(work, first_rows(work, bucket), known)
        places = [row.row for row in rows]
        written = _Written(
            size=size,
            batch=batch,
            follows=_write_follows(numbers, rows),
            rows=rows,
            places=None if places == list(range(len(rows))) else numbers.int64(places),
            sampling=self._sampler.write(numbers, rows),
            drafts=None if self.proposer is None else write_drafts(numbers, work, rows),
            followers=[
                numbers.int64(followers(item)) for item in work if item.collect is Collect.SCORES
            ],
            recorded=recorded,
        )
        return written, numbers.on_device(self.device)

    def _forward(
        self, written: _Written, buffer: torch.Tensor
    ) -> tuple[ForwardBatch, torch.Tensor, torch.Tensor]:
        """Return the batch, hidden states ``[T, H]``, and logits ``[D, V]`` of drawn rows."""
        if written.follows is not None and self._drawn is not None:
            rows, draws = (section.of(buffer) for section in written.follows)
            tokens = self._drawn.tokens.index_select(0, draws)
            written.batch.token_ids.of(buffer).index_copy_(0, rows, tokens)
        recorded = written.recorded
        if recorded is not None:
            recorded.buffer.copy_(buffer[: written.size])
            recorded.repeat()
            return recorded.batch, recorded.hidden, written.drawn(recorded.logits, buffer)
        batch = written.batch.batch(buffer)
        hidden = self.decoder.forward(batch, self.caches)
        if not written.rows:
            return batch, hidden, hidden.new_empty(0, dtype=torch.float32)
        return batch, hidden, self.decoder.logits(written.drawn(hidden, buffer))

    def _scores(
        self,
        work: Sequence[Work],
        sections: Sequence[Section],
        hidden: torch.Tensor,
        buffer: torch.Tensor,
    ) -> Iterator[torch.Tensor]:
        """Yield the scores of each item that collects them, and what belongs to them."""
        if not sections:
            return
        remaining = iter(sections)
        for item, first in zip(work, first_rows(work), strict=True):
            if item.collect is Collect.SCORES:
                following = next(remaining).of(buffer)
                rows = hidden[first : first + rows_of(item)][scored_rows(item)]
                yield from collect_scores(self.decoder, rows, following, item.alternatives)

    def _collected(self, work: Sequence[Work], hidden: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the logits of each item that collects them, by its place."""
        if not any([item.collect is Collect.LOGITS for item in work]):
            return {}
        return {
            place: collect_logits(self.decoder, hidden[first : first + item.end - item.start])
            for place, (item, first) in enumerate(zip(work, first_rows(work), strict=True))
            if item.collect is Collect.LOGITS
        }


def _sampler_for(execution: Execution) -> Sampler:
    """Return what chooses tokens for a model that runs so."""
    if execution.target is None:
        return HostSampler()
    # Triton takes a while to import, and only kernels need it.
    from localfp4.runner.kernel_sampler import KernelSampler

    return KernelSampler(execution.target)


def _write_follows(numbers: Numbers, rows: Sequence[DrawnRow]) -> tuple[Section, Section] | None:
    """Write which rows take their token from the device, and which draw it is."""
    following = [(row.row, row.follows) for row in rows if row.follows is not None]
    if not following:
        return None
    return (
        numbers.int64(row for row, _ in following),
        numbers.int64(draw for _, draw in following),
    )
