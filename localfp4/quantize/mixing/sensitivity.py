"""How much each unit of a model matters: it alone is rounded, and the answers are compared.

Every unit and every format makes a model that differs from the original in that alone. All of them
travel through the layers together, so that each layer is read once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.checkpoint.parameters import parameter_count
from localfp4.models.opened import OpenedModel
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.distilling.divergence import divergence
from localfp4.quantize.events import Event
from localfp4.quantize.mixing.allocate import Sensitivity
from localfp4.quantize.mixing.streams import Streams
from localfp4.quantize.mixing.units import Unit, units_of
from localfp4.quantize.planning.activations import MIXING_LENGTH, MIXING_WINDOWS
from localfp4.quantize.recipe import Recipe, Rounding, WeightFormat
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import Output, embedded, load_output
from localfp4.quantize.streaming.inputs import PLAIN, Watch
from localfp4.quantize.streaming.observed import ObservedLayer, observe_layer
from localfp4.quantize.streaming.pace import Pace, Step
from localfp4.quantize.streaming.solved import put, put_site
from localfp4.quantize.streaming.watched import WatchedLinear

_MOST_LOGITS = 2**25
"""Logits of each of two models at once: 128 MiB in float32."""


def formats_of(recipe: Recipe) -> tuple[WeightFormat, ...]:
    """Return what a unit may be rounded to under mixed precision; 16 bits come on top."""
    return recipe.format, "fp8"


@torch.no_grad()
def sensitivities(
    opened: OpenedModel,
    recipe: Recipe,
    tokens: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
    folder: Path,
) -> Iterator[Event | Sensitivity]:
    """Measure what rounding one unit does to the answers of a model.

    Weights are rounded to nearest with the best scales, whatever the recipe's method.

    Args:
        opened: The model, in 16 bits.
        recipe: What is quantised, and to what.
        tokens: int64 ``[samples, length]``; the beginnings of the first few windows are used.
        device: Where layers run.
        dtype: Compute type.
        folder: Where activations go for which memory is too small.

    Yields:
        How far it is, and in the end what was found, for every unit in the order of the layers and
        each of :func:`formats_of`.

    Raises:
        CheckpointError: A tensor is missing or damaged.
    """
    tokens, spec = tokens[:MIXING_WINDOWS, :MIXING_LENGTH], opened.spec
    samples, length = tokens.shape
    chosen = chosen_linears(opened, recipe).names
    batches = Batches(spec, samples, length, device, dtype)
    steps = [Step("layer", index + 1) for index in range(len(spec.layers))]
    answers = Step("layer", _layers_of_head(opened) * len(spec.layers))
    pace = Pace([*steps, answers])
    with (
        # Windows deletes no file that is mapped; the run's folder goes in the end.
        TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch,
        open_reader(opened.checkpoint, device) as reader,
    ):
        original = embedded(reader, spec, tokens, batches, Path(scratch))
        streams = Streams(original, batches, Path(scratch))
        for index, step in enumerate(steps):
            # Nothing here may hold a layer while the next is read: a device need not have room.
            _pass(streams, observe_layer(reader, spec, index, chosen, dtype, device), recipe)
            yield pace.did(step, f"sensitivity, layer {index + 1} of {len(steps)}")
        output = load_output(reader, spec, chosen, dtype, device)
        yield from _found(streams, output, recipe)
        yield pace.did(answers, "sensitivity, answers")


def _pass(streams: Streams, layer: ObservedLayer, recipe: Recipe) -> None:
    """Take all models through a layer, and let new ones leave the original there."""
    before = len(streams.changed)
    for unit in units_of(layer.sites):
        for format in formats_of(recipe):
            with _rounded(layer, unit, format, recipe):
                streams.branch(layer, unit, format)
    streams.pass_by(layer, before)


@contextmanager
def _rounded(
    layer: ObservedLayer, unit: Unit, format: WeightFormat, recipe: Recipe
) -> Iterator[None]:
    """Round the weights of a unit, and its inputs as the recipe has it, for a while."""
    originals = {site.name: layer.weights(site).to("cpu", copy=True) for site in unit.sites}
    sites = tuple(_nearest(site, layer.weights(site), format, recipe) for site in unit.sites)
    put(layer, LayerResult(layer.index, sites), recipe.precision)
    try:
        yield
    finally:
        for site in unit.sites:
            layer.weights(site).copy_(originals[site.name])
            layer.watches[site.name].form = PLAIN


def _nearest(
    site: Site, weight: torch.Tensor, format: WeightFormat, recipe: Recipe
) -> QuantisedSite:
    rounding = Rounding("rtn", "sweep", divides=recipe.rounding.divides)
    codes = round_to_nearest(rotate(weight, recipe.rotation), format, rounding)
    return QuantisedSite(site, codes, rotation=recipe.rotation)


def _rounded_head(
    site: Site, weight: torch.Tensor, format: WeightFormat, recipe: Recipe
) -> WatchedLinear:
    rounded, watch = torch.empty_like(weight), Watch(site)
    put_site(rounded, watch, _nearest(site, weight, format, recipe), recipe.precision)
    return WatchedLinear(watch, rounded, None)


def _found(streams: Streams, output: Output, recipe: Recipe) -> Iterator[Sensitivity]:
    """Yield what was found of all units, the head's last."""
    units = [(one.unit, one.format) for one in streams.changed]
    models = [(one.activations, output) for one in streams.changed]
    if output.site is not None and output.weight is not None:
        (unit,) = units_of([output.site])
        for format in formats_of(recipe):
            head = _rounded_head(output.site, output.weight, format, recipe)
            units.append((unit, format))
            models.append((streams.original, replace(output, head=head)))
    totals, rows = [0.0] * len(models), 0
    for piece in streams.pieces(max(_MOST_LOGITS // output.spec.vocab_size, 1)):
        original = output.logits(piece.of(streams.original))
        rows += len(original)
        for place, (activations, last) in enumerate(models):
            found = divergence(original, last.logits(piece.of(activations)))
            totals[place] += found.sum(dtype=torch.float64).item()
    for (unit, format), total in zip(units, totals, strict=True):
        yield Sensitivity(unit, format, total / rows)


def _layers_of_head(opened: OpenedModel) -> float:
    """Return how many layers the output projection is as large as."""
    spec = opened.spec
    head = spec.vocab_size * spec.hidden_size
    others = max(parameter_count(opened.checkpoint) - head, 1)
    return head * len(spec.layers) / others
