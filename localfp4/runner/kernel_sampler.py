"""Choosing tokens by kernels: nothing waits for the host, and little goes back to it."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from localfp4.runner.guided import guided_masks, guided_places
from localfp4.runner.kernel_draws import KernelDraws
from localfp4.runner.numbers import Numbers, Section
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampling import Draws
from localfp4.runner.seen import Histories, sees
from localfp4_kernels.sampling.choose import RowParams, plan_choose
from localfp4_kernels.sampling.greedy import plan_choose_greedily
from localfp4_kernels.sampling.mask import TokenMasks, plan_mask_tokens
from localfp4_kernels.sampling.penalties import (
    Biases,
    Penalties,
    SeenTokens,
    plan_add_biases,
    plan_penalise,
)
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class _Limits:
    """The parts of :class:`RowParams`."""

    temperature: Section
    seed: Section
    position: Section
    top_k: Section | None
    top_p: Section | None
    min_p: Section | None

    def params(self, buffer: torch.Tensor) -> RowParams:
        return RowParams(
            self.temperature.of(buffer),
            self.seed.of(buffer),
            self.position.of(buffer),
            *(
                None if one is None else one.of(buffer)
                for one in (self.top_k, self.top_p, self.min_p)
            ),
        )


@dataclass(frozen=True, slots=True)
class _Penalised:
    """The parts of :class:`SeenTokens` and :class:`Penalties`; ``latest`` are indices of draws."""

    starts: Section
    tokens: Section
    times: Section
    strengths: tuple[Section, ...]
    latest: Section | None


@dataclass(frozen=True, slots=True)
class _Biased:
    """The parts of :class:`Biases`."""

    starts: Section
    tokens: Section
    values: Section


@dataclass(frozen=True, slots=True)
class _Reported:
    """The rows whose log-probabilities are asked for, and the most alternatives of any."""

    rows: Section
    most: int


@dataclass(frozen=True, slots=True)
class KernelSampling:
    """How a step's tokens are drawn, written into the step's buffer.

    Attributes:
        rows: Those that are drawn.
        limits: ``None`` where all are greedy.
        penalised: ``None`` where none is.
        biased: ``None`` where none is.
        guided: Which rows have a guide; ``None`` where none has.
        reported: ``None`` where no log-probabilities are asked for.
        target: What runs the kernels.
    """

    rows: Sequence[DrawnRow]
    limits: _Limits | None
    penalised: _Penalised | None
    biased: _Biased | None
    guided: Section | None
    reported: _Reported | None
    target: Target

    def run(self, logits: torch.Tensor, buffer: torch.Tensor, before: Draws | None) -> KernelDraws:
        """Choose one token per row.

        Args:
            logits: float32 ``[D, V]``; changed in place where there are penalties, biases or
                guides.
            buffer: What was written.
            before: The draws of the step before, which rows may follow.
        """
        if not self.rows:
            return KernelDraws((), buffer.new_empty(0))
        unmodified = None
        if self.reported is not None and (self.penalised or self.biased or self.guided):
            unmodified = logits.clone()
        if self.penalised is not None:
            self._penalise(self.penalised, logits, buffer, before)
        if self.biased is not None:
            parts = (self.biased.starts, self.biased.tokens, self.biased.values)
            biases = Biases(*(part.of(buffer) for part in parts))
            plan_add_biases(logits, biases, target=self.target).run()
        if self.guided is not None:
            self._mask(self.guided, logits, buffer)
        if self.limits is None:
            choice = plan_choose_greedily(logits, unmodified, target=self.target).run()
        else:
            params = self.limits.params(buffer)
            choice = plan_choose(logits, params, unmodified, target=self.target).run()
        if self.reported is None:
            return KernelDraws(self.rows, choice.tokens)
        rows = self.reported.rows.of(buffer)
        raw = (logits if unmodified is None else unmodified).index_select(0, rows)
        values, ids = raw.log_softmax(-1).topk(min(self.reported.most, raw.shape[1]))
        return KernelDraws(self.rows, choice.tokens, (ids, values, choice.logprobs))

    def _penalise(
        self, parts: _Penalised, logits: torch.Tensor, buffer: torch.Tensor, before: Draws | None
    ) -> None:
        latest = None
        if parts.latest is not None and before is not None:
            places = parts.latest.of(buffer)
            latest = before.tokens.index_select(0, places.clamp_min(0))
            latest = latest.masked_fill(places < 0, -1)
        seen = SeenTokens(
            parts.starts.of(buffer), parts.tokens.of(buffer), parts.times.of(buffer), latest
        )
        strengths = Penalties(*(one.of(buffer) for one in parts.strengths))
        plan_penalise(logits, seen, strengths, target=self.target).run()

    def _mask(self, places: Section, logits: torch.Tensor, buffer: torch.Tensor) -> None:
        """Keep guided rows to the tokens that may come.

        The step that gives the logits has been launched, and a device computes it while the guides
        look for those tokens here.
        """
        words = torch.from_numpy(guided_masks(self.rows).view(np.int32))
        if logits.device.type == "cuda":
            words = words.pin_memory()
        masks = TokenMasks(places.of(buffer), words.to(logits.device, non_blocking=True))
        plan_mask_tokens(logits, masks, target=self.target).run()


class KernelSampler:
    """Writes down how tokens are to be drawn; remembers what sequences have seen."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._histories = Histories()

    def write(self, numbers: Numbers, rows: Sequence[DrawnRow]) -> KernelSampling:
        """Write what drawing the rows of a step depends on."""
        sampling = KernelSampling(
            rows,
            _write_limits(numbers, rows),
            self._write_penalties(numbers, rows),
            _write_biases(numbers, rows),
            _write_guided(numbers, rows),
            _write_reported(numbers, rows),
            self._target,
        )
        self._histories.end_step()
        return sampling

    def _write_penalties(self, numbers: Numbers, rows: Sequence[DrawnRow]) -> _Penalised | None:
        if not any(sees(row.draw) for row in rows):
            return None
        listed = [
            self._histories.of(row.draw).with_guesses(row.drafts) if sees(row.draw) else None
            for row in rows
        ]
        starts, tokens, times = [0], array("q"), array("i")
        for seen in listed:
            if seen is not None:
                tokens.extend(seen.ids)
                times.extend(seen.times)
            starts.append(len(tokens))
        params = [row.draw.params for row in rows]
        strengths = (
            [one.repetition_penalty for one in params],
            [one.presence_penalty for one in params],
            [one.frequency_penalty for one in params],
        )
        latest = None
        if any(row.follows is not None for row in rows):
            latest = numbers.int64([-1 if row.follows is None else row.follows for row in rows])
        return _Penalised(
            starts=numbers.int32(starts),
            tokens=numbers.int64(tokens),
            times=numbers.int32(times),
            strengths=tuple(numbers.float32(one) for one in strengths),
            latest=latest,
        )


def _write_limits(numbers: Numbers, rows: Sequence[DrawnRow]) -> _Limits | None:
    params = [row.draw.params for row in rows]
    temperatures = [one.temperature for one in params]
    if not any(temperatures):
        return None
    # Greedy rows need no limits; a limit that no row has saves its passes over the logits.
    random = [one for one in params if one.temperature > 0]
    has_k = any(one.top_k for one in random)
    has_p = any(one.top_p < 1 for one in random)
    has_min_p = any(one.min_p for one in random)
    return _Limits(
        temperature=numbers.float32(temperatures),
        seed=numbers.int64([row.draw.seed for row in rows]),
        position=numbers.int64([row.position for row in rows]),
        top_k=numbers.int32([min(one.top_k, 2**31 - 1) for one in params]) if has_k else None,
        top_p=numbers.float32([one.top_p for one in params]) if has_p else None,
        min_p=numbers.float32([one.min_p for one in params]) if has_min_p else None,
    )


def _write_biases(numbers: Numbers, rows: Sequence[DrawnRow]) -> _Biased | None:
    biases = [row.draw.params.logit_bias for row in rows]
    if not any(biases):
        return None
    starts = [0]
    for bias in biases:
        starts.append(starts[-1] + len(bias))
    return _Biased(
        starts=numbers.int32(starts),
        tokens=numbers.int64(token for bias in biases for token in bias),
        values=numbers.float32(value for bias in biases for value in bias.values()),
    )


def _write_guided(numbers: Numbers, rows: Sequence[DrawnRow]) -> Section | None:
    places = guided_places(rows)
    return numbers.int64(places) if places else None


def _write_reported(numbers: Numbers, rows: Sequence[DrawnRow]) -> _Reported | None:
    asked = [(place, row.draw.params.logprobs) for place, row in enumerate(rows)]
    reported = [(place, count) for place, count in asked if count is not None]
    if not reported:
        return None
    places = numbers.int64([place for place, _ in reported])
    return _Reported(places, max(count for _, count in reported))
