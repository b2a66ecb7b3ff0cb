"""The loop over the layers of a model: look at inputs, round, save, run on.

One layer is on the device at a time. What it is given was computed by the layers before as they were
rounded, so that it makes up for their errors, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.checkpoint.reader import TensorReader
from localfp4.models.opened import OpenedModel
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.events import Event
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import embedded
from localfp4.quantize.streaming.head import quantise_head
from localfp4.quantize.streaming.notes import notes_after, notes_before
from localfp4.quantize.streaming.observed import ObservedLayer, observe_layer
from localfp4.quantize.streaming.one_layer import Calibration, Doing, quantise_layer
from localfp4.quantize.streaming.outlines import LayerOutline, outline_layers, without_kept
from localfp4.quantize.streaming.overlay import OverlaidReader
from localfp4.quantize.streaming.pace import Pace, Step
from localfp4.quantize.streaming.run_layer import advance
from localfp4.quantize.streaming.solved import Formats, put
from localfp4.quantize.streaming.steps import EMBEDDING, READING, Means, running, steps_of
from localfp4.quantize.streaming.work import WorkFolder

_NO_MIX: Formats = MappingProxyType({})


def quantise_layers(
    opened: OpenedModel,
    recipe: Recipe,
    tokens: torch.Tensor | None,
    work: WorkFolder,
    device: torch.device,
    formats: Formats = _NO_MIX,
    budget_bytes: int | None = None,
) -> Iterator[Event]:
    """Round all layers of a model that are not in the work folder yet, and then the head.

    Afterwards the folder has a result for each layer and one more, of what comes after the last.

    Args:
        opened: The model, in 16 bits.
        recipe: How.
        tokens: int64 ``[samples, length]`` on the CPU; ``None`` where nothing is looked at.
        work: Where results go.
        device: Where layers run and weights are rounded, in bfloat16 on a GPU and in float32 on a
            CPU.
        formats: What linears become under mixed precision, by the name of any linear of a site;
            others become what the recipe says.
        budget_bytes: What Hessians may take at once; more rounds look at the same tokens where
            that is too little for a layer.

    Yields:
        What a user wants to know meanwhile.

    Raises:
        CheckpointError: A tensor is missing, has another shape, or is not finite.
        RequestError: A result cannot be written or read.
        SolveError: The inputs of a site cannot be used.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = chosen_linears(opened, recipe)
    yield from notes_before(opened.spec, recipe, chosen)
    layers = outline_layers(opened, chosen.names, dtype)
    names = without_kept(chosen.names, layers, recipe, formats)
    if names != chosen.names:
        layers = outline_layers(opened, names, dtype)
    finished = work.finished()
    missing = [index for index in range(len(layers)) if index not in finished]
    looked_at = [index for index in missing if layers[index].sites]
    if not looked_at:
        tokens = None
    if missing:
        needed = range(missing[0] if tokens is None else 0, missing[-1] + 1)
        order = [name for index in needed for name in layers[index].names]
        with open_reader(opened.checkpoint, device, order) as reader:
            batches = None
            if tokens is not None:
                samples, length = tokens.shape
                batches = Batches(opened.spec, samples, length, device, dtype)
            means = Means(recipe, () if batches is None else batches.tokens, budget_bytes)
            model = _Model(opened, reader, names, dtype, device)
            loop = _Loop(model, layers, means, formats, work)
            yield from loop.run(needed, tokens, batches, until=max(looked_at, default=0))
    yield from notes_after(work, len(layers))


@dataclass(frozen=True, slots=True)
class _Model:
    """What is read, and how.

    Attributes:
        opened: The model.
        reader: Of its tensors.
        chosen: Names of the linears that are quantised.
        dtype: Compute type.
        device: Where layers go.
    """

    opened: OpenedModel
    reader: TensorReader
    chosen: frozenset[str]
    dtype: torch.dtype
    device: torch.device

    def layer(self, index: int, result: LayerResult | None = None) -> ObservedLayer:
        """Read a layer, with the 16-bit tensors that were replaced."""
        reader = self.reader
        if result is not None and result.replaced:
            reader = OverlaidReader(reader, result.replaced)
        spec = self.opened.spec
        return observe_layer(reader, spec, index, self.chosen, self.dtype, self.device)


class _Loop:
    """A run through the layers, from the first that is needed to the last that is not done."""

    def __init__(
        self,
        model: _Model,
        layers: tuple[LayerOutline, ...],
        means: Means,
        formats: Formats,
        work: WorkFolder,
    ) -> None:
        self._model = model
        self._layers = layers
        self._means = means
        self._formats = formats
        self._work = work
        self._finished = work.finished()

    def run(
        self, needed: range, tokens: torch.Tensor | None, batches: Batches | None, *, until: int
    ) -> Iterator[Event]:
        """Do the layers that are needed, of which nobody looks at the inputs of those after one."""
        pace = Pace(self._steps(needed, until))
        calibration = None
        if tokens is not None and batches is not None:
            spec, reader = self._model.opened.spec, self._model.reader
            activations = embedded(reader, spec, tokens, batches, self._work.folder)
            calibration = Calibration(batches, activations)
            yield pace.did(EMBEDDING, "embeddings")
        last = len(self._layers) - 1
        for index in needed:
            stage = f"layer {index + 1} of {last}" if index < last else "output projection"
            doing = self._layer(index, calibration, goes_on=index < until)
            if index == last:
                doing = self._head(index, calibration)
            for step, words in doing:
                yield pace.did(step, f"{stage}: {words}")

    def _steps(self, needed: range, until: int) -> Iterator[Step]:
        if self._means.tokens:
            yield EMBEDDING
        for index in needed:
            yield from steps_of(
                self._layers[index].sites,
                self._means,
                is_finished=index in self._finished,
                goes_on=index < until,
            )

    def _layer(
        self, index: int, calibration: Calibration | None, *, goes_on: bool
    ) -> Iterator[Doing]:
        """Round a layer, or take what is there, and run it for the next."""
        if index in self._finished:
            result = self._work.load(index, self._model.device)
            layer = self._model.layer(index, result)
            yield READING, "reading what is done"
        else:
            layer = self._model.layer(index)
            yield READING, "reading"
            result = yield from quantise_layer(layer, calibration, self._means, self._formats)
            self._work.save(result)
            if result.replaced:  # what is stored is rounded once more, and that is what runs
                del layer  # a device need not have room for two
                layer = self._model.layer(index, result)
        if goes_on and calibration is not None:
            put(layer, result, self._means.recipe.precision)
            for tokens in advance(layer, calibration.batches, calibration.activations):
                yield running(tokens), "running it"

    def _head(self, index: int, calibration: Calibration | None) -> Iterator[Doing]:
        """Round what comes after the last layer, if it is quantised."""
        if not self._layers[index].sites:
            self._work.save(LayerResult(index, ()))
            yield READING, "stays"
            return
        model = self._model
        result = yield from quantise_head(
            model.reader,
            model.opened.spec,
            calibration,
            self._means,
            self._formats,
            model.dtype,
            model.device,
        )
        self._work.save(result)
