"""What a user should read of a run through the layers, a sentence each."""

from collections.abc import Iterator

from localfp4.checkpoint.display import listed
from localfp4.models.spec import DecoderSpec
from localfp4.quantize.channel_scales.left_out import left_out
from localfp4.quantize.chosen import COLUMNS, Chosen
from localfp4.quantize.events import Note
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.streaming.work import WorkFolder


def notes_before(spec: DecoderSpec, recipe: Recipe, chosen: Chosen) -> Iterator[Note]:
    """Yield what is known before anything is read."""
    if chosen.unfit:
        unit = max(COLUMNS, recipe.rotation)
        yield Note(
            f"{listed(list(chosen.unfit))} keep their 16 bits: columns come in multiples of {unit}, "
            "and theirs, or those of experts beside them, do not."
        )
    if recipe.channel_scales != "none" and (sentence := left_out(spec)) is not None:
        yield Note(sentence)


def notes_after(work: WorkFolder, results: int) -> Iterator[Note]:
    """Yield what results say, ``results`` of them."""
    borrowers: set[tuple[int, int]] = set()
    experts: set[tuple[int, int]] = set()
    for index in range(results):
        for said in work.summary(index).sites:
            expert = said["site"]["expert"]
            if expert is not None:
                experts.add((index, expert))
                if said["note"] is not None:
                    borrowers.add((index, expert))
    if borrowers:
        yield Note(
            f"{len(borrowers)} of {len(experts)} experts saw fewer tokens of the calibration text "
            "than their inputs have features, and borrowed those of other experts; more samples "
            "would help them."
        )
