"""Models rounded to nearest, layer by layer, and what they answer."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from localfp4.checkpoint.open_reader import open_reader
from localfp4.models.opened import OpenedModel
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.recipe import Precision, Recipe, Rounding, WeightFormat
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import embedded, load_output
from localfp4.quantize.streaming.observed import observe_layer
from localfp4.quantize.streaming.overlay import OverlaidReader
from localfp4.quantize.streaming.run_layer import advance
from localfp4.quantize.streaming.solved import put, put_site

CPU = torch.device("cpu")
DEMO = Path(__file__).parents[2] / "assets" / "demo"
RTN = Rounding("rtn", "sweep")


def heldout(samples: int, length: int) -> torch.Tensor:
    """Return windows of a text that the demo model never saw, int64 ``[samples, length]``."""
    tokenizer = Tokenizer.from_file(str(DEMO / "bf16" / "tokenizer.json"))
    ids = tokenizer.encode((DEMO / "heldout.txt").read_text(encoding="utf-8")).ids
    return torch.tensor(ids[: samples * length]).view(samples, length)


def results_of(
    opened: OpenedModel, recipe: Recipe, formats: Mapping[str, WeightFormat | None] | None = None
) -> list[LayerResult]:
    """Round every layer of a model, and its head where the recipe does not keep it."""
    chosen, count = chosen_linears(opened, recipe).names, len(opened.spec.layers)
    results = []
    with open_reader(opened.checkpoint, CPU) as reader:
        for index in range(count):
            layer = observe_layer(reader, opened.spec, index, chosen, torch.float32, CPU)
            sites = []
            for site in layer.sites:
                format = _format_of(site.name, recipe, formats)
                if format is not None:
                    rows = rotate(layer.weights(site), recipe.rotation)
                    codes = round_to_nearest(rows, format, RTN)
                    sites.append(QuantisedSite(site, codes, rotation=recipe.rotation))
            results.append(LayerResult(index, tuple(sites)))
        output = load_output(reader, opened.spec, chosen, torch.float32, CPU)
    last = LayerResult(count, ())
    if output.site is not None and output.weight is not None:
        format = _format_of(output.site.name, recipe, formats)
        if format is not None:
            codes = round_to_nearest(output.weight, format, RTN)
            last = replace(last, sites=(QuantisedSite(output.site, codes),))
    return [*results, last]


@torch.no_grad()
def logits_of(
    opened: OpenedModel,
    results: list[LayerResult],
    tokens: torch.Tensor,
    precision: Precision,
    folder: Path,
) -> torch.Tensor:
    """Return float32 logits ``[samples, length, V]`` of a rounded model."""
    spec = opened.spec
    samples, length = tokens.shape
    batches = Batches(spec, samples, length, CPU, torch.float32)
    with open_reader(opened.checkpoint, CPU) as reader:
        activations = embedded(reader, spec, tokens, batches, folder)
        for index in range(len(spec.layers)):
            overlaid = OverlaidReader(reader, results[index].replaced)
            chosen = _names(results[index])
            layer = observe_layer(overlaid, spec, index, chosen, torch.float32, CPU)
            put(layer, results[index], precision)
            for _ in advance(layer, batches, activations):
                pass
        last = results[-1]
        overlaid = OverlaidReader(reader, last.replaced)
        output = load_output(overlaid, spec, _names(last), torch.float32, CPU)
        for one in last.sites:
            assert output.weight is not None
            assert output.watch is not None
            put_site(output.weight, output.watch, one, precision)
    logits = output.logits(activations.hidden.flatten(0, 1))
    return logits.view(samples, length, -1)


def unrounded(opened: OpenedModel) -> list[LayerResult]:
    """Return results that leave a model as it is."""
    return [LayerResult(index, ()) for index in range(len(opened.spec.layers) + 1)]


def mean_divergence(original: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean Kullback-Leibler divergence in float64."""
    p, q = (one.double().log_softmax(-1) for one in (original, other))
    return float((p.exp() * (p - q)).sum(-1).mean())


def _format_of(
    name: str, recipe: Recipe, formats: Mapping[str, WeightFormat | None] | None
) -> WeightFormat | None:
    found = [format for end, format in (formats or {}).items() if name.endswith(end)]
    return found[0] if found else recipe.format


def _names(result: LayerResult) -> frozenset[str]:
    return frozenset(prefix for one in result.sites for prefix in one.site.prefixes)
