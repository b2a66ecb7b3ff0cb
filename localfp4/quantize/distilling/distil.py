"""Training a rounded model to answer like its original, of which only the answers are kept."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.checkpoint.reader import TensorReader
from localfp4.models.opened import OpenedModel
from localfp4.quantize.distilling.student import Lesson, Student
from localfp4.quantize.distilling.student_layer import load_student_layer, straight
from localfp4.quantize.distilling.trained_norms import TrainedNorm
from localfp4.quantize.events import Event, Note
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import Output, embedded, load_output
from localfp4.quantize.streaming.hidden import room_for
from localfp4.quantize.streaming.observed import observe_layer
from localfp4.quantize.streaming.overlay import OverlaidReader
from localfp4.quantize.streaming.pace import Pace, Step
from localfp4.quantize.streaming.run_layer import Activations, advance
from localfp4.quantize.streaming.solved import put_site

FINAL_NORM = "model.norm.weight"

_HELD_OUT = 16
"""One window of so many is never learned from: it tells whether learning helps elsewhere."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast training goes.

    Attributes:
        passes: How often every window is learned from.
        windows: Whose gradients are added up for a step.
        learning_rate: Largest of scales and norms, of AdamW (arXiv:1711.05101) without decay: what
            is trained has no unit, and every step changes it by about this much.
        latent_rate: The same of latent weights; many of those begin close to where a code changes.
        warm_up: Part of the steps in which the rate grows; then it falls along a cosine.
        seed: Of the order of windows.
    """

    passes: int = 1
    windows: int = 1
    learning_rate: float = 2e-3
    latent_rate: float = 1e-3
    warm_up: float = 0.05
    seed: int = 0

    def factor(self, step: int, steps: int) -> float:
        """Return the part of the learning rate for a step, counted from 0."""
        rising = max(int(steps * self.warm_up), 1)
        if step < rising:
            return (step + 1) / rising
        return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(steps - rising, 1))


def distil(
    opened: OpenedModel,
    recipe: Recipe,
    tokens: torch.Tensor,
    results: Callable[[int], LayerResult],
    device: torch.device,
    dtype: torch.dtype,
    folder: Path,
    *,
    schedule: Schedule = Schedule(),
) -> Iterator[Event | LayerResult]:
    """Train what was rounded, and yield how far it is and, in the end, every layer anew.

    Args:
        opened: The original, in 16 bits.
        recipe: What is trained.
        tokens: int64 ``[samples, length]``, at least two windows.
        results: What was decided for each layer and for what follows the last.
        device: Where all rounded layers are at once.
        dtype: Compute type.
        folder: Where activations go for which memory is too small.
        schedule: How long and how fast.

    Yields:
        A :class:`LayerResult` of each layer and one for what follows the last, if training lowered
        the divergence on windows that it did not see; none otherwise, and a note that says so.
    """
    if recipe.distil is None:
        raise ValueError("the recipe does not distil")
    spec, count = opened.spec, len(opened.spec.layers)
    samples, length = tokens.shape
    together = length * schedule.windows
    batches = Batches(spec, samples, length, device, dtype, together)
    windows = list(batches)
    held_out = windows[-max(len(windows) // _HELD_OUT, 1) :]
    order = _order(windows[: -len(held_out)], schedule)
    reading, learning = Step("original"), Step("step")
    pace = Pace([*([reading] * count), *([learning] * len(order))])
    with open_reader(opened.checkpoint, device) as reader:
        before = embedded(reader, spec, tokens, batches, folder)
        after = _copy(before, folder)
        for index in range(count):
            _advance(reader, opened, index, batches, after)
            yield pace.did(reading, f"answers of the original, layer {index + 1} of {count}")
        original = load_output(reader, spec, frozenset(), dtype, device)
        lesson = Lesson(before, after.hidden, original)
        student = _student(reader, opened, recipe, results, original, batches)
    start = _mean(student, lesson, held_out)
    for event in _train(student, lesson, order, schedule):
        yield pace.did(learning, event)
    end = _mean(student, lesson, held_out)
    yield Note(_verdict(start, end, sum(one.stop - one.start for one in held_out), length))
    if end < start:
        yield from (layer.trained() for layer in student.layers)
        last, norm = results(count), {FINAL_NORM: student.norm.stored_weight().cpu()}
        yield replace(last, replaced=last.replaced | norm)


def _train(
    student: Student, lesson: Lesson, order: Sequence[slice], schedule: Schedule
) -> Iterator[str]:
    """Learn from windows, one step each, and yield what each gave."""
    kinds = (student.changes(), schedule.learning_rate), (student.latents(), schedule.latent_rate)
    named = ((list(parameters), rate) for parameters, rate in kinds)
    groups = [{"params": parameters, "rate": rate} for parameters, rate in named if parameters]
    # The fused form needs no temporary copy of all that is trained.
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    for step, windows in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * schedule.factor(step, len(order))
        found = student.learn(lesson, windows)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        student.settle()
        yield f"distilling, step {step + 1} of {len(order)}, divergence {found:.4f}"


def _student(
    reader: TensorReader,
    opened: OpenedModel,
    recipe: Recipe,
    results: Callable[[int], LayerResult],
    output: Output,
    batches: Batches,
) -> Student:
    """Read the rounded model, which shares the output with the original where that is kept."""
    spec, dtype, device = opened.spec, batches.dtype, batches.device
    layers = [
        load_student_layer(reader, spec, results(index), recipe, dtype, device)
        for index in range(len(spec.layers))
    ]
    last = results(len(spec.layers))
    overlaid = OverlaidReader(reader, last.replaced)
    chosen = frozenset(prefix for one in last.sites for prefix in one.site.prefixes)
    if chosen:
        output = load_output(overlaid, spec, chosen, dtype, device)
    for one in last.sites:
        if output.weight is not None and output.watch is not None:
            put_site(output.weight, output.watch, one, recipe.precision)
            output.watch.form = straight(output.watch.form)
    stored = overlaid.read(FINAL_NORM)
    norm = TrainedNorm.of(stored, output.norm, plus_one=spec.norm.plus_one)
    return Student(layers, norm, output, batches)


@torch.no_grad()
def _advance(
    reader: TensorReader, opened: OpenedModel, index: int, batches: Batches, after: Activations
) -> None:
    """Take the original's activations through a layer."""
    spec = opened.spec
    layer = observe_layer(reader, spec, index, frozenset(), batches.dtype, batches.device)
    for _ in advance(layer, batches, after):
        pass


def _copy(before: Activations, folder: Path) -> Activations:
    hidden = room_for(before.hidden.shape, before.hidden.dtype, folder / "original.bin")
    return replace(before, hidden=hidden.copy_(before.hidden), shared={})


def _order(windows: Sequence[slice], schedule: Schedule) -> list[slice]:
    """Return the windows of every step, all of them in each pass, in an order of its own."""
    random = torch.Generator().manual_seed(schedule.seed)
    passes = [torch.randperm(len(windows), generator=random) for _ in range(schedule.passes)]
    return [windows[place] for order in passes for place in order.tolist()]


def _mean(student: Student, lesson: Lesson, steps: Sequence[slice]) -> float:
    """Return the mean divergence on all windows of some steps."""
    sizes = [one.stop - one.start for one in steps]
    found = [student.divergence(lesson, one) for one in steps]
    total = sum(size * one for size, one in zip(sizes, found, strict=True))
    return float(total / sum(sizes))


def _verdict(start: float, end: float, windows: int, length: int) -> str:
    where = f"on {windows * length:,} tokens that it did not learn from"
    if end < start:
        return (
            f"Distillation lowered the divergence from the original from {start:.4f} to {end:.4f} "
            f"nats a token, {where}."
        )
    return (
        f"Distillation did not lower the divergence from the original ({start:.4f} nats a token "
        f"before, {end:.4f} after, {where}), so that the model stays as it was rounded; more or "
        "other calibration text may help."
    )
