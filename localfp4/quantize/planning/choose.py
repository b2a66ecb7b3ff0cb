"""Choosing a recipe for a model, a machine and a wish for accuracy; torch-free."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from localfp4.checkpoint.parameters import parameter_count
from localfp4.models.opened import OpenedModel
from localfp4.models.plan import Machine
from localfp4.models.traffic import mixture
from localfp4.quantize.planning.room import Room, room_on
from localfp4.quantize.planning.size import ModelSize, model_size
from localfp4.quantize.recipe import CalibrationSource, Recipe, Rounding

Accuracy = Literal["fast", "balanced", "best"]

NEAREST = Recipe(method="rtn", rounding=Rounding("rtn"))
"""What every machine can make."""

_FP4_CAPABILITY = 100
"""From Blackwell on tensor cores multiply numbers of 4 bits."""

_LARGE = 20 * 10**9
"""Parameters from which on a model bears activations of 4 bits well."""

LONG_CHAT = 16384
"""Tokens of context that accuracy is not bought with."""

_SHORT_CHAT = 4096
"""Tokens of context that must fit the card for the output projection to be quantised, too."""

_WORTH = 0.03
"""Part of the weights' size that must be left over before mixed precision is worth measuring."""

_ROWS_PER_COLUMN = 4
"""Tokens that should come to each expert, for every column of its Hessian."""

_MOST_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class Situation:
    """What a recipe is chosen for.

    Attributes:
        opened: The model, in 16 bits.
        machine: Where it is to be made and to run.
        parameters: How many it has.
        room: What its 4-bit version leaves of the machine.
        size: Of that version, with what is usually kept in 16 bits.
    """

    opened: OpenedModel
    machine: Machine
    parameters: int
    room: Room
    size: ModelSize

    @property
    def has_fp4(self) -> bool:
        """Whether the card computes with numbers of 4 bits."""
        capability = self.machine.capability
        return capability is not None and capability >= _FP4_CAPABILITY

    @property
    def long_chat(self) -> int:
        """Tokens of context that are not given up for accuracy."""
        return min(LONG_CHAT, self.opened.spec.max_context)


def situation_of(opened: OpenedModel, machine: Machine) -> Situation:
    """Look at a model and a machine.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: No linear fits the format.
    """
    parameters = parameter_count(opened.checkpoint)
    size = model_size(opened, Recipe())
    return Situation(opened, machine, parameters, room_on(opened, machine), size)


def choose(situation: Situation, accuracy: Accuracy) -> Recipe:
    """Return what suits, as if there were memory enough to make it."""
    if accuracy == "fast":
        return replace(NEAREST, keep=_kept(situation))
    source = CalibrationSource(samples=_samples(situation.opened))
    recipe = Recipe(calibration=source, keep=_kept(situation))
    if accuracy == "best":
        replayed = replace(recipe, rounding=Rounding(replay=True))
        return replace(replayed, target_bytes=_target(situation))
    if situation.has_fp4 and situation.parameters >= _LARGE:
        return replace(recipe, precision="w4a4")
    return recipe


def _kept(situation: Situation) -> tuple[str, ...]:
    """Return what stays in 16 bits: nothing, where the output projection alone is too much."""
    usual, room = Recipe().keep, situation.room
    if not situation.machine.is_gpu or room.is_whole:
        return usual
    saved = situation.size.total - model_size(situation.opened, Recipe(keep=())).total
    plan = room.with_more(-saved)
    enough = min(_SHORT_CHAT, situation.opened.spec.max_context)
    fits = plan is not None and plan.placement.is_whole and plan.max_model_len >= enough
    return () if fits else usual


def _target(situation: Situation) -> int | None:
    """Return the size that the card has room for beside a long chat, if that is worth it."""
    room, size = situation.room, situation.size
    if not (situation.machine.is_gpu and room.is_whole):  # a CPU expands all weights alike
        return None
    most = size.original - size.quantised
    spare = room.spare_bytes(situation.long_chat, most)
    if not _WORTH * size.total <= spare < most:
        return None
    return (size.quantised + size.kept + spare) // 10**8 * 10**8


def _samples(opened: OpenedModel) -> int:
    """Return so many windows of calibration text that every expert should see enough of it."""
    usual = CalibrationSource()
    length = min(usual.length, opened.spec.max_context)
    samples = usual.samples
    while samples < min(max(_windows_wanted(opened, length), default=0), _MOST_SAMPLES):
        samples *= 2
    return samples


def _windows_wanted(opened: OpenedModel, length: int) -> Iterator[float]:
    """Yield how many windows the experts of each layer want."""
    for layer in opened.spec.layers:
        if (moe := mixture(layer)) is not None:
            width = max(moe.latent_size or opened.spec.hidden_size, moe.intermediate_size)
            rows_of_a_window = length * moe.experts_per_token / moe.experts
            yield _ROWS_PER_COLUMN * width / rows_of_a_window
