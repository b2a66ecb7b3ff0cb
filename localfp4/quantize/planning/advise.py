"""Which recipe suits a model, a card and a wish for accuracy, and why; torch-free."""

from collections.abc import Iterator
from dataclasses import dataclass

from localfp4.checkpoint.describe import quantised_formats
from localfp4.checkpoint.rounded.checkpoint import already_quantised
from localfp4.errors import UnsupportedModelError
from localfp4.models.opened import OpenedModel
from localfp4.models.plan import Machine, MemoryPlan
from localfp4.models.plan.memory_plan import gib
from localfp4.models.traffic import mixture
from localfp4.quantize.planning import published
from localfp4.quantize.planning.choose import NEAREST, Accuracy, Situation, choose, situation_of
from localfp4.quantize.planning.command import quantise_command
from localfp4.quantize.planning.plan import QuantisePlan, quantise_plan
from localfp4.quantize.planning.published import Reason
from localfp4.quantize.planning.size import ModelSize
from localfp4.quantize.recipe import CalibrationSource, Recipe

_SMALL = 3 * 10**9
"""Parameters below which it is said that small models lose most."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recipe, and what speaks for it.

    Attributes:
        recipe: What is advised.
        command: The same as a command line.
        reasons: Why.
        others: What else there is, and why not.
        expectations: What a 4-bit model is like beside its original.
        size: Of the model that is written.
        run: What would be allocated to run it; ``None`` where it does not fit the machine.
        original: The same of the model as it is.
        plan: What it takes to make it there.
    """

    recipe: Recipe
    command: str
    reasons: tuple[Reason, ...]
    others: tuple[Reason, ...]
    expectations: tuple[Reason, ...]
    size: ModelSize
    run: MemoryPlan | None
    original: MemoryPlan | None
    plan: QuantisePlan


def advise(
    opened: OpenedModel, name: str, machine: Machine, accuracy: Accuracy = "balanced"
) -> Advice:
    """Choose a recipe for a model.

    Args:
        opened: The model, in 16 bits.
        name: What the user calls it.
        machine: Where it is to be made and to run.
        accuracy: ``fast`` is quickly made; ``balanced`` makes up for rounding; ``best`` takes time
            and whatever the card has room for.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: The model is quantised already, or no linear fits the format.
    """
    stored = quantised_formats(opened.checkpoint)
    if stored:
        raise UnsupportedModelError(already_quantised(name, stored))
    situation = situation_of(opened, machine)
    recipe = wanted = choose(situation, accuracy)
    plan = first = quantise_plan(opened, wanted, machine)
    if not first.fits and wanted.method != "rtn":
        recipe = NEAREST
        plan = quantise_plan(opened, recipe, machine)
    return Advice(
        recipe=recipe,
        command=quantise_command(name, recipe),
        reasons=(*_shortages(wanted, first), *_reasons(recipe, situation)),
        others=tuple(_others(recipe, situation)),
        expectations=tuple(_expectations(situation)),
        size=plan.size,
        run=situation.room.with_more(plan.size.total - situation.size.total),
        original=situation.room.original,
        plan=plan,
    )


def _shortages(wanted: Recipe, plan: QuantisePlan) -> Iterator[Reason]:
    """Yield why what was wanted cannot be made here."""
    for shortage in plan.shortages:
        yield Reason(f"Not {wanted.method}, which is too large for this machine: {shortage}")


def _reasons(recipe: Recipe, situation: Situation) -> Iterator[Reason]:
    yield published.NEAREST if recipe.method == "rtn" else published.GPTQ
    if recipe.rounding.replay:
        yield published.REPLAY
    if recipe.precision == "w4a4":
        yield published.FOUR_BIT_INPUTS
        yield published.LARGE
        if any(mixture(layer) is not None for layer in situation.opened.spec.layers):
            yield published.MIXTURE
    else:
        yield published.SIXTEEN_BIT_INPUTS
    yield published.NVFP4
    if not recipe.keep:
        yield Reason(
            "The output projection gets 4 bits, too (--keep none): with it in 16 bits the card does "
            "not hold all weights."
        )
    if recipe.target_bytes is not None:
        yield Reason(
            f"{recipe.target_bytes / 1e9:g} GB is what the card holds beside a chat of "
            f"{situation.long_chat} tokens: what suffers most from 4 bits, which is measured, gets 8 "
            "or 16."
        )
    if recipe.needs_calibration and recipe.calibration.samples > CalibrationSource().samples:
        yield Reason(
            f"{recipe.calibration.samples} windows of text, since each token reaches few of the many "
            "experts."
        )
    if recipe.keep:
        yield from _fitting(situation)


def _fitting(situation: Situation) -> Iterator[Reason]:
    """Yield what the sizes mean for the machine."""
    room = situation.room
    if not situation.machine.is_gpu:
        yield Reason(
            "A CPU expands weights while they are loaded: 4 bits save disk here, and memory and time "
            "on a GPU."
        )
    elif room.plan is None:
        yield Reason(
            f"Even in 4 bits its {gib(room.weighed.sizes.total)} GiB do not fit this machine; make it "
            "here, and run it on a larger one."
        )
    elif not room.is_whole:
        lacking = room.weighed.sizes.total - room.plan.weight_bytes - room.plan.staging_bytes
        yield Reason(
            f"The card lacks {gib(lacking)} GiB for all of its 4-bit weights; the others stay in main "
            "memory."
        )
    elif room.original is not None and room.original.placement.is_whole:
        yield Reason(
            f"The original fits, too, with {room.original.max_model_len} tokens of context; 4 bits "
            "are for speed, and for other programs on the card."
        )


def _others(recipe: Recipe, situation: Situation) -> Iterator[Reason]:
    """Yield what was not chosen, and why."""
    if recipe.method == "rtn":
        yield Reason("gptq: loses less, but runs calibration text through every layer.")
    yield published.ROTATION
    if recipe.precision == "w4a4":
        yield published.SMOOTHQUANT
    elif situation.has_fp4:
        yield Reason(
            "--precision w4a4: reads prompts with the card's FP4 units, and costs accuracy."
        )
    if recipe.method != "rtn":
        yield published.DISTILLING


def _expectations(situation: Situation) -> Iterator[Reason]:
    yield published.EXPECTATION
    if situation.parameters < _SMALL:
        yield published.SMALL
