"""Decode steps recorded as CUDA graphs, one for every size of step that has come up.

A decode step launches hundreds of kernels of a few microseconds each, and Python takes longer to
launch one than a GPU to run it; a graph is launched at once. What it reads lies in a buffer of its
own at fixed addresses, and everything that changes from step to step is in there: nothing that was
recorded depends on lengths, pages or tokens.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.runner.numbers import Numbers
from localfp4.runner.prepare import Scratch, write_batch
from localfp4.runner.rows import Bucket, is_pure_decode, pages_for, rows_of
from localfp4.runner.work import Work

_log = logging.getLogger(__name__)

_STEP = 8
_SMALL = (1, 2, 3, 4, 6)
"""A token of a small batch costs what reading the weights costs; padding is a quarter at most."""


@dataclass(frozen=True, slots=True)
class GraphSizes:
    """What graphs have room for.

    Attributes:
        rows: Most decode rows of a step: sequences, times one and the drafts of each.
        context: Tokens of the longest sequence.
    """

    rows: int
    context: int


class Recorder(Protocol):
    """Records what a function launches."""

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        """Run once, record a second run, and return what repeats it."""


class CudaRecorder:
    """Records on a GPU; all graphs share the memory of their intermediate results."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        """Run once, record a second run, and return what repeats it.

        The first run loads kernels and makes libraries choose theirs, neither of which can be
        recorded. Other threads may allocate meanwhile, such as those that read files.
        """
        run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            run()
        return graph.replay


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step that can be repeated with other numbers.

    Attributes:
        buffer: What it reads, int64 ``[n]``.
        batch: The same as tensors.
        hidden: ``[R, H]``, what it leaves; rewritten by every repetition.
        logits: float32 ``[R, V]``, likewise; other steps write to the same memory.
        repeat: Launches it.
    """

    buffer: torch.Tensor
    batch: ForwardBatch
    hidden: torch.Tensor
    logits: torch.Tensor
    repeat: Callable[[], None]


class DecodeGraphs:
    """The recorded steps of one model.

    Attributes:
        note: Why nothing is recorded any more, if recording has failed.
    """

    def __init__(
        self,
        decoder: Decoder,
        caches: Sequence[Cache],
        scratch: Scratch,
        device: torch.device,
        sizes: GraphSizes,
        record: Recorder,
    ) -> None:
        self.note: str | None = None
        self._decoder = decoder
        self._caches = caches
        self._scratch = scratch
        self._device = device
        self._sizes = sizes
        self._record = record
        self._steps: dict[Bucket, RecordedStep] = {}
        self._logits: torch.Tensor | None = None

    def bucket(self, work: Sequence[Work]) -> Bucket | None:
        """Return the size to pad a step to; ``None`` where it must be launched as it is."""
        if not work or not is_pure_decode(work):
            return None
        counts = [rows_of(item) for item in work]
        if max(item.end + len(item.drafts) for item in work) > self._sizes.context:
            return None
        return self.bucket_of(counts)

    def bucket_of(self, counts: Sequence[int]) -> Bucket | None:
        """Return the size that sequences with so many rows each are padded to.

        Recurrent layers take the rows of a sequence one after the other; to others each is one of
        its own.
        """
        if self._scratch.slot is None:
            return self.sized(sum(counts))
        return self.sized(len(counts), max(counts))

    def sized(self, sequences: int, rows: int = 1) -> Bucket | None:
        """Return the size that so many sequences with so many rows each are padded to."""
        bucket = Bucket(padded(sequences), padded(rows), pages_for(self._sizes.context))
        return bucket if bucket.size <= padded(self._sizes.rows) else None

    def step(self, bucket: Bucket) -> RecordedStep | None:
        """Return the step of a size, recorded now if it has not been.

        Recording takes a tenth of a second or some, so that only what is surely needed is recorded
        while loading, and the rest when it is first asked for. Once it has failed, nothing more is
        recorded, and what has been stays in use.
        """
        known = self._steps.get(bucket)
        if known is None and self.note is None:
            try:
                known = self._steps[bucket] = self._recorded(bucket)
            except RuntimeError as error:
                [reason, *_] = str(error).splitlines() or [type(error).__name__]
                self.note = f"CUDA graphs are off, which makes small batches slower: {reason}"
                _log.warning("a step of %s cannot be recorded", bucket, exc_info=True)
        return known

    def _recorded(self, bucket: Bucket) -> RecordedStep:
        numbers = Numbers()
        sections = write_batch(numbers, (), self._scratch, bucket)
        buffer = numbers.on_device(self._device)
        batch = sections.batch(buffer)
        logits = self._logits_of(bucket.size)
        hidden = torch.empty(0)

        def run() -> None:
            nonlocal hidden
            hidden = self._decoder.forward(batch, self._caches)
            logits.copy_(self._decoder.logits(hidden))

        repeat = self._record(run)
        return RecordedStep(buffer, batch, hidden, logits, repeat)

    def _logits_of(self, rows: int) -> torch.Tensor:
        """Return memory for logits, which all steps share: one uses it at a time."""
        if self._logits is None or len(self._logits) < rows:
            before = 0 if self._logits is None else len(self._logits)
            shape = max(rows, 2 * before), self._decoder.spec.vocab_size
            self._logits = torch.empty(shape, device=self._device)
        return self._logits[:rows]


def padded(rows: int) -> int:
    """Return the size that a number of rows is padded to."""
    return next((size for size in _SMALL if size >= rows), -(-rows // _STEP) * _STEP)
