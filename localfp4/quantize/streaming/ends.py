"""What stands before the first layer and after the last, for all calibration tokens."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional

from localfp4.checkpoint.reader import TensorReader
from localfp4.models.execution import TORCH
from localfp4.models.linear import DenseLinear, Linear
from localfp4.models.load_ends import load_embedding, load_per_layer, load_per_layer_table
from localfp4.models.load_norm import load_norm
from localfp4.models.logits import scaled_logits
from localfp4.models.norm import Norm
from localfp4.models.spec import DecoderSpec, PerLayerInputSpec
from localfp4.models.stored import StoredWeights
from localfp4.models.tying import shares_embedding
from localfp4.quantize.sites import HEAD, Site
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.hidden import room_for
from localfp4.quantize.streaming.inputs import Watch
from localfp4.quantize.streaming.observed import ObservedWeights
from localfp4.quantize.streaming.run_layer import Activations

_CPU = torch.device("cpu")


def embedded(
    reader: TensorReader, spec: DecoderSpec, tokens: torch.Tensor, batches: Batches, folder: Path
) -> Activations:
    """Look up the embeddings of all tokens.

    Tables stay in main memory, and are gone when this returns.

    Args:
        reader: Of the model.
        spec: The model.
        tokens: int64 ``[samples, length]``.
        batches: How tokens pass the layers.
        folder: Where files go for which memory is too small.
    """
    dtype = batches.dtype
    beside = StoredWeights(reader, dtype, _CPU, TORCH)
    table = load_embedding(beside, spec)
    scale = torch.tensor(spec.embedding_scale, dtype=dtype).item()
    hidden = room_for((*tokens.shape, spec.hidden_size), dtype, folder / "hidden.bin")
    for windows in batches:
        x = functional.embedding(tokens[windows], table).to(dtype)
        hidden[windows].copy_(x if scale == 1 else x * scale)
    parts = None
    if spec.per_layer_input is not None:
        parts = _parts(beside, spec, spec.per_layer_input, tokens, hidden, batches, folder)
    return Activations(hidden, parts, folder)


def _parts(
    beside: StoredWeights,
    spec: DecoderSpec,
    inputs: PerLayerInputSpec,
    tokens: torch.Tensor,
    hidden: torch.Tensor,
    batches: Batches,
    folder: Path,
) -> torch.Tensor:
    """Return what each layer gets of the second embedding, ``[L, samples, length, d]``."""
    table = load_per_layer_table(beside, spec, inputs)
    stored = StoredWeights(beside.reader, beside.dtype, batches.device, TORCH)
    second = load_per_layer(stored, spec, inputs, table)
    shape = len(spec.layers), *tokens.shape, inputs.size
    parts = room_for(shape, batches.dtype, folder / "parts.bin")
    for windows in batches:
        ids = tokens[windows].flatten()
        rows = functional.embedding(ids, table).to(batches.device)
        places = torch.arange(len(rows), device=batches.device)
        x = hidden[windows].to(batches.device).flatten(0, 1)
        found = replace(second, table=rows).forward(places, x, 0)
        parts[:, windows].copy_(found.transpose(0, 1).unflatten(1, (-1, tokens.shape[1])))
    return parts


@dataclass(slots=True, eq=False)
class Output:
    """What follows the last layer.

    Attributes:
        spec: The model.
        norm: Of the last layer's result.
        head: ``[H] -> [V]``.
        site: Of the head, where it is quantised.
        watch: What stands before it then.
        weight: ``[V, H]``, the memory that the head computes with, then.
    """

    spec: DecoderSpec
    norm: Norm
    head: Linear
    site: Site | None = None
    watch: Watch | None = None
    weight: torch.Tensor | None = None

    @property
    def quantised(self) -> tuple[Site, Watch, torch.Tensor]:
        """The head's site, what stands before it, and its weight.

        Raises:
            ValueError: It is not quantised.
        """
        if self.site is None or self.watch is None or self.weight is None:
            raise ValueError("the output projection is not quantised")
        return self.site, self.watch, self.weight

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32 logits ``[T, V]`` for the stream ``x`` ``[T, H]`` after the last layer."""
        return scaled_logits(self.head.forward(self.norm.forward(x)), self.spec, None)


def load_output(
    reader: TensorReader,
    spec: DecoderSpec,
    chosen: frozenset[str],
    dtype: torch.dtype,
    device: torch.device,
) -> Output:
    """Read what follows the last layer.

    Args:
        reader: Of a model in 16 bits.
        spec: The model.
        chosen: Names of the linears that are quantised.
        dtype: Compute type.
        device: Where it goes.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    stored = ObservedWeights(reader, dtype, device, chosen)
    norm = load_norm(stored, "model.norm", spec.hidden_size, spec.norm)
    if shares_embedding(reader.checkpoint):
        return Output(spec, norm, DenseLinear(load_embedding(stored, spec).to(dtype), None))
    head = stored.linear([HEAD], [spec.vocab_size], spec.hidden_size, bias=False)
    if not stored.sites:
        return Output(spec, norm, head)
    [site] = stored.sites
    return Output(spec, norm, head, site, stored.watches[site.name], stored.weights[site.name])
