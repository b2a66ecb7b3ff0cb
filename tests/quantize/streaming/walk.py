"""Tiny models of transformers on their way through the layers, one at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.recipe import METHODS, Precision, Recipe, Rounding
from localfp4.quantize.results import LayerResult
from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import embedded, load_output
from localfp4.quantize.streaming.observed import ObservedLayer, observe_layer
from localfp4.quantize.streaming.run_layer import Activations, advance
from localfp4.quantize.streaming.solved import put, put_site
from tests.models import tiny

CPU = torch.device("cpu")
SAMPLES, LENGTH = 5, 70
"""More than a page, and steps of two windows, of which the last has one."""


def tokens(samples: int = SAMPLES, length: int = LENGTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, tiny.VOCAB, (samples, length), generator=generator)


def recipe(method: str = "gptq", precision: Precision = "w4a16", **options: Any) -> Recipe:
    chosen = METHODS[method]
    return Recipe(
        method=method,
        precision=precision,
        rounding=Rounding(chosen.solver),
        rotation=32 if chosen.rotates else 0,
        **{"keep": (), **options},
    )


def saved(name: str, folder: Path) -> tuple[Any, OpenedModel]:
    """Return a model of transformers, and what was saved of it, opened."""
    model = tiny.build(name)
    return model, open_model(tiny.save(model, folder / name))


def batches_of(opened: OpenedModel, samples: int = SAMPLES, length: int = LENGTH) -> Batches:
    return Batches(opened.spec, samples, length, CPU, torch.float32, step_tokens=2 * length)


@contextmanager
def walking(
    opened: OpenedModel, how: Recipe, folder: Path
) -> Iterator[tuple[Batches, Activations, Callable[[int], ObservedLayer]]]:
    """Give the embeddings of all tokens, and what reads a layer."""
    names, batches = chosen_linears(opened, how).names, batches_of(opened)
    with open_reader(opened.checkpoint, CPU) as reader:
        activations = embedded(reader, opened.spec, tokens(), batches, folder)

        def layer(index: int) -> ObservedLayer:
            return observe_layer(reader, opened.spec, index, names, torch.float32, CPU)

        yield batches, activations, layer


def logits(
    opened: OpenedModel,
    how: Recipe,
    folder: Path,
    results: Callable[[int], LayerResult] | None = None,
) -> torch.Tensor:
    """Run a model layer by layer, rounded if there are results."""
    with walking(opened, how, folder) as (batches, activations, read):
        for index in range(len(opened.spec.layers)):
            layer = read(index)
            if results is not None:
                put(layer, results(index), how.precision)
            for _ in advance(layer, batches, activations):
                pass
    names = chosen_linears(opened, how).names
    with open_reader(opened.checkpoint, CPU) as reader:
        output = load_output(reader, opened.spec, names, torch.float32, CPU)
    if results is not None and output.site is not None:
        site, watch, weight = output.quantised
        (head,) = results(len(opened.spec.layers)).sites
        assert head.site == site
        put_site(weight, watch, head, how.precision)
    return output.logits(activations.hidden.flatten(0, 1)).view(SAMPLES, LENGTH, -1)


def original_names(opened: OpenedModel) -> dict[str, str]:
    """Return the names of linears in the file by their canonical ones."""
    return {
        name.removesuffix(".weight"): info.name.removesuffix(".weight")
        for name, info in opened.checkpoint.tensors.items()
    }


def rounded_parts(result: LayerResult) -> Iterator[tuple[str, Codes, float | None]]:
    """Yield each linear that was rounded, its codes and the largest of its inputs."""
    for one in result.sites:
        for prefix, start, end in one.site.parts():
            yield prefix, one.codes.rows(start, end), one.input_amax
