"""A step that has been launched, and what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from localfp4.runner.outputs import Outputs
from localfp4.runner.sampled import Sampled
from localfp4.runner.work import Collect, Work


@dataclass(slots=True)
class StepResult:
    """What a step brought for one sequence; not frozen, like :class:`Work`.

    Attributes:
        sampled: The guesses that proved right and the token after them; nothing while the prompt
            goes on.
        logits: float32 ``[n, V]`` of the processed positions, where collected.
        scores: Log-probability of the token after each processed position, where collected; the
            last position of a sequence has none.
        greedy: Whether that token was the likeliest.
        drafts: What a head for multi-token prediction or a draft model guesses to follow.
        top: The likeliest tokens at that place and their log-probabilities, if any are asked for.
    """

    sampled: tuple[Sampled, ...] = ()
    logits: torch.Tensor | None = None
    scores: tuple[float, ...] = ()
    drafts: tuple[int, ...] = ()
    greedy: tuple[bool, ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has been launched.

    Attributes:
        work: What was asked for.
        outputs: Its tensors, on their way to the host: first what ``read`` takes, then guesses
            where there are any, then scores and what belongs to them, item by item.
        drawn: How many tensors ``read`` takes.
        read: Makes choices of them.
        has_guesses: Whether something guesses what follows.
        logits: Those collected, by the item's place.
    """

    work: Sequence[Work]
    outputs: Outputs
    drawn: int
    read: Callable[[Sequence[torch.Tensor]], Sequence[Sampled]]
    has_guesses: bool
    logits: Mapping[int, torch.Tensor]

    def results(self) -> list[StepResult]:
        """Wait for the device and return what the step brought, item by item."""
        tensors = iter(self.outputs.wait())
        sampled = iter(self.read([next(tensors) for _ in range(self.drawn)]))
        guesses = iter(next(tensors).tolist()) if self.has_guesses else None
        return [
            self._result(place, item, sampled, guesses, tensors)
            for place, item in enumerate(self.work)
        ]

    def _result(
        self,
        place: int,
        item: Work,
        sampled: Iterator[Sampled],
        guesses: Iterator[list[int]] | None,
        scores: Iterator[torch.Tensor],
    ) -> StepResult:
        result = StepResult()
        if item.collect is not Collect.NOTHING:
            result.logits = self.logits.get(place)
        if item.collect is Collect.SCORES:
            _read_scores(item, scores, result)
        if item.draw is not None:
            result.sampled = _accepted(item, sampled) if item.drafts else (next(sampled),)
            result.drafts = () if guesses is None else tuple(next(guesses)[: item.propose])
        return result


def _read_scores(item: Work, tensors: Iterator[torch.Tensor], result: StepResult) -> None:
    result.scores = tuple(next(tensors).tolist())
    result.greedy = tuple(next(tensors).tolist())
    if item.alternatives:
        rows = zip(next(tensors).tolist(), next(tensors).tolist(), strict=True)
        result.top = tuple(tuple(zip(ids, values, strict=True)) for ids, values in rows)


def _accepted(item: Work, sampled: Iterator[Sampled]) -> tuple[Sampled, ...]:
    """Return the choices that count: up to the first that differs from what was guessed."""
    choices = [next(sampled) for _ in range(1 + len(item.drafts))]
    right = 0
    while right < len(item.drafts) and choices[right].token_id == item.drafts[right]:
        right += 1
    return tuple(choices[: right + 1])
