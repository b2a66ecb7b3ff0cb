"""Running one step of a model: work in, chosen tokens out. Knows nothing of requests or queues."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from localfp4.models.cache import Cache, StateCache
from localfp4.models.decoder import Decoder
from localfp4.runner.prepare import prepare
from localfp4.runner.sampler import Sampled, sample
from localfp4.runner.work import Collect, Work


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current one of this thread.

    Kernels are launched there, wherever their arguments are.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step brought for one sequence.

    Attributes:
        sampled: The guesses that proved right and the token after them; nothing while the prompt
            goes on.
        logits: float32 ``[n, V]`` of the processed positions, where collected.
        scores: Log-probability of the token after each processed position, where collected; the
            last position of a sequence has none.
        drafts: What a head for multi-token prediction or a draft model guesses to follow.
    """

    sampled: tuple[Sampled, ...] = ()
    logits: torch.Tensor | None = None
    scores: tuple[float, ...] = ()
    drafts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has been launched."""

    work: list[StepResult]

    def results(self) -> list[StepResult]:
        """Wait for the device and return what the step brought, item by item."""
        return self.work


@dataclass(frozen=True, slots=True)
class Runner:
    """A decoder with its cache."""

    decoder: Decoder
    caches: tuple[Cache, ...]
    device: torch.device

    def run(self, work: Sequence[Work]) -> list[StepResult]:
        """Process every item of ``work``; decoding sequences must come first."""
        return self.launch(work).results()

    @torch.inference_mode()
    def launch(self, work: Sequence[Work]) -> Step:
        """Begin to process every item of ``work``; decoding sequences must come first."""
        with on_device(self.device):
            return Step(self._run(work))

    def _run(self, work: Sequence[Work]) -> list[StepResult]:
        self._copy_states((item.restore, item.slot) for item in work)
        hidden = self.decoder.forward(prepare(work, self.device), self.caches)
        self._copy_states((item.slot, item.snapshot) for item in work)
        rows = _output_rows(work)
        if not rows:
            return [StepResult() for _ in work]
        logits = self.decoder.logits(hidden if len(rows) == len(hidden) else hidden[rows])
        results: list[StepResult] = []
        row, last_rows = 0, []
        for item in work:
            count = _wanted_rows(item)
            results.append(_collect(item, logits[row : row + count]))
            row += count
            if item.draw is not None:
                last_rows.append(row - 1)
        draws = [item.draw for item in work if item.draw is not None]
        if not draws:
            return results
        ends = [item.end for item in work if item.draw is not None]
        chosen = sample(logits if len(last_rows) == len(logits) else logits[last_rows], draws, ends)
        tokens = iter(chosen)
        return [
            result if item.draw is None else StepResult(sampled=(next(tokens),))
            for item, result in zip(work, results, strict=True)
        ]

    def _copy_states(self, pairs: Iterable[tuple[int | None, int | None]]) -> None:
        """Copy slots of recurrent layers, source and destination, where both are given."""
        for source, destination in pairs:
            if source is None or destination is None or source == destination:
                continue
            for cache in self.caches:
                if isinstance(cache, StateCache):
                    cache.copy(source, destination)


def _wanted_rows(item: Work) -> int:
    """Return how many of an item's positions need logits."""
    if item.collect is not Collect.NOTHING:
        return item.end - item.start
    return 0 if item.draw is None else 1


def _output_rows(work: Sequence[Work]) -> list[int]:
    """Return the rows of the step whose logits are needed."""
    rows: list[int] = []
    end = 0
    for item in work:
        end += item.end - item.start
        rows += range(end - _wanted_rows(item), end)
    return rows


def _collect(item: Work, logits: torch.Tensor) -> StepResult:
    if item.collect is Collect.LOGITS:
        return StepResult(logits=logits.cpu().clone())
    if item.collect is Collect.SCORES:
        following = list(item.tokens[item.start + 1 : item.end + 1])
        ids = torch.tensor(following, dtype=torch.long, device=logits.device).unsqueeze(1)
        scores = logits[: len(following)].log_softmax(-1).gather(1, ids)
        return StepResult(scores=tuple(scores.squeeze(1).tolist()))
    return StepResult()
