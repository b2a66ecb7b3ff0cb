"""Mixed precision, decided once for a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from localfp4.models.opened import OpenedModel
from localfp4.quantize.events import Event, Note
from localfp4.quantize.mixing.allocate import Sensitivity, allocate, require_target
from localfp4.quantize.mixing.sensitivity import sensitivities
from localfp4.quantize.planning.size import model_size
from localfp4.quantize.recipe import Recipe, WeightFormat
from localfp4.quantize.streaming.work import WorkFolder

_FILE = "mix.json"


@dataclass(frozen=True, slots=True)
class Mix:
    """What every site becomes.

    Attributes:
        formats: By the name of a site; ``None`` is 16 bits.
    """

    formats: dict[str, WeightFormat | None]


def decide_mix(
    opened: OpenedModel,
    recipe: Recipe,
    tokens: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
    work: WorkFolder,
) -> Iterator[Event | Mix]:
    """Measure what suffers most, and choose formats that fit the recipe's size.

    What was chosen is kept in the work folder, and taken from there the next time.

    Args:
        opened: The model, in 16 bits.
        recipe: With a size.
        tokens: int64 ``[samples, length]``.
        device: Where layers run.
        dtype: Compute type.
        work: Of the run.

    Raises:
        CheckpointError: A tensor is missing or damaged.
        RequestError: Nothing is as small, or what was chosen cannot be written.
    """
    if recipe.target_bytes is None:
        raise ValueError("the recipe has no size")
    kept = work.read_text(_FILE)
    if kept is None:
        found: list[Sensitivity] = []
        for event in sensitivities(opened, recipe, tokens, device, dtype, work.folder):
            if isinstance(event, Sensitivity):
                found.append(event)
            else:
                yield event
        size = model_size(opened, recipe)
        rest = size.total - size.quantised
        kept = json.dumps(allocate(found, recipe.target_bytes, rest_bytes=rest))
        work.write_text(_FILE, kept)
    formats: dict[str, WeightFormat | None] = json.loads(kept)
    yield Note(_in_words(formats, model_size(opened, recipe, formats).total))
    yield Mix(formats)


def require_size(opened: OpenedModel, recipe: Recipe) -> None:
    """Check that a model can be as small as a recipe wants it, before anything is measured.

    Raises:
        RequestError: Nothing is as small.
    """
    if recipe.target_bytes is None:
        return
    least = model_size(opened, replace(recipe, target_bytes=None))
    require_target(recipe.target_bytes, least.quantised, least.total - least.quantised)


def _in_words(formats: dict[str, WeightFormat | None], total: int) -> str:
    names = [form or "16 bits" for form in formats.values()]
    size = f"{total / 1e9:.2f} GB" if total >= 10**9 else f"{total / 1e6:.1f} MB"
    counts = ", ".join(f"{names.count(name)} in {name}" for name in dict.fromkeys(sorted(names)))
    return f"Of {len(names)} groups of linears {counts}: {size} in all."
