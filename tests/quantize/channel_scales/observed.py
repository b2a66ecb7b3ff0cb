"""Layers of tiny models in float64, run on made-up inputs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.checkpoint.reader import TensorReader
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.gathering import Gathering, Wish
from localfp4.quantize.streaming.observed import ObservedLayer, observe_layer
from localfp4.quantize.streaming.run_layer import run_windows
from tests.models import tiny

CPU = torch.device("cpu")
LENGTH = 24
SAMPLES = 3


@contextmanager
def opened(name: str, folder: Path, keep: Sequence[str] = ()) -> Iterator["Model"]:
    """Save a tiny model of transformers and open it."""
    tiny.save(tiny.build(name), folder)
    found = open_model(folder)
    with open_reader(found.checkpoint, CPU) as reader:
        yield Model(found, reader, keep)


class Model:
    """A tiny model whose layers are looked at one by one."""

    def __init__(self, found: OpenedModel, reader: TensorReader, keep: Sequence[str]) -> None:
        self.spec = found.spec
        self.reader = reader
        self.chosen = chosen_linears(found, Recipe(keep=("lm_head", *keep))).names
        self.batches = Batches(found.spec, SAMPLES, LENGTH, CPU, torch.float64)
        random = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(
            SAMPLES * LENGTH, found.spec.hidden_size, generator=random
        ).double()

    def layer(self, index: int, reader: TensorReader | None = None) -> ObservedLayer:
        return observe_layer(
            reader or self.reader, self.spec, index, self.chosen, torch.float64, CPU
        )

    def run(self, layer: ObservedLayer) -> torch.Tensor:
        layout = self.batches.layout(slice(0, SAMPLES))
        cache = self.batches.cache(layer.index)
        with torch.no_grad():
            return run_windows(layer, self.inputs.clone(), layout, cache)

    def look(self, layer: ObservedLayer) -> torch.Tensor:
        """Run a layer and learn what its sites read; return its output."""
        for name, watch in layer.watches.items():
            watch.gathering = Gathering(watch.site.columns, Wish(True, sample=48), CPU)
            layer.statistics[name] = watch.gathering.statistics
        out = self.run(layer)
        for name, watch in layer.watches.items():
            layer.statistics[name] = replace(watch.statistics())
            watch.gathering = None
        return out
